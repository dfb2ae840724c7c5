// Package clients holds the clients in other languages, a folder each with its README, and runs their tests.
//
//	clients_test.go ──► node --test, python3 -m unittest, tsc          what needs no server
//	                ──► scheduler serve ◄──► the snippets of README.md  as a stranger would type them
//
// What their workers must do besides is in package conformance. It has no code but its tests: go test ./clients
package clients
