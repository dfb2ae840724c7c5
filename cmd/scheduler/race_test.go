//go:build race

package main

const raceEnabled = true // the program is built like its tests
