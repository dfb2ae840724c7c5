// Package screen is how the command line speaks to people: tables, progress bars, times and colour, and JSON for programs.
//
//	Out: data ──► text tables | one JSON value a line
//	Err: the rest ──► errors, hints, progress bars on a terminal, plain lines elsewhere
//
// Invariants. What comes from a task reaches a terminal only through Clean, so that it can't move the cursor, change the
// title or reverse the text. Lines are cut to the terminal at the end of what a reader takes for one character. Colour and
// bars appear on a terminal only.
//
//	table := s.Table("ID", "STATE", "MESSAGE")
//	table.Row(task.ID, string(task.State), message)
//	err := table.Flush()
package screen
