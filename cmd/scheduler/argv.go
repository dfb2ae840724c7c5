package main

import (
	"errors"
	"strings"
)

// splitArgv splits a command line into arguments by the quoting rules of POSIX shells, and does nothing else that a shell
// does: no variables, patterns, redirections or pipes. Within '…' everything stands for itself; within "…" a backslash
// escapes \, ", $ and `; elsewhere it escapes any character. Arguments are separated by blanks.
func splitArgv(line string) ([]string, error) {
	var argv []string
	var arg strings.Builder
	inArg := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n', '\r':
			if inArg {
				argv = append(argv, arg.String())
				arg.Reset()
			}
			inArg = false
		case '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a ' is not closed")
			}
			arg.WriteString(line[i+1 : i+1+end])
			i += 1 + end
			inArg = true
		case '"':
			end, err := doubleQuoted(line, i+1, &arg)
			if err != nil {
				return nil, err
			}
			i = end
			inArg = true
		case '\\':
			i++
			if i == len(line) {
				return nil, errors.New(`it ends with a \`)
			}
			arg.WriteByte(line[i])
			inArg = true
		default:
			arg.WriteByte(c)
			inArg = true
		}
	}
	if inArg {
		argv = append(argv, arg.String())
	}
	return argv, nil
}

// doubleQuoted reads from after the opening quote and returns the index of the closing one.
func doubleQuoted(line string, i int, arg *strings.Builder) (int, error) {
	for ; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			return i, nil
		case c == '\\' && i+1 < len(line) && strings.IndexByte("\\\"$`", line[i+1]) >= 0:
			i++
			arg.WriteByte(line[i])
		default:
			arg.WriteByte(c)
		}
	}
	return 0, errors.New(`a " is not closed`)
}
