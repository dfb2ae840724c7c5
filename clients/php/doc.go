// Package php holds the PHP client, see README.md, and runs its tests, which are PHP scripts.
//
//	client_test.go ──► scheduler serve, a database of its own ◄──► php tests/…_test.php, and what it starts
//
// It has no code but its tests: go test ./clients/php
package php
