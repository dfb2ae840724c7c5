// Package example runs one of the examples as its reader would, by make run in its folder, on free ports and a database of the
// test's own, so that its test can drive the real thing: its pages, its processes, its rows.
//
//	e := example.Run(t, []string{"php"})
//	tab := browser.Open(t, e.Page+"/")
//	e.Kill("consumer.php")
//
// Without one of the programs that it names a test is skipped, and fails with CI=true.
package example
