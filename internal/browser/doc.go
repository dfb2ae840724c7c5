// Package browser gives a test a tab of a real browser: Chromium, without a window, one process for all tests of a package.
//
// Without Chromium on the machine a test is skipped and says what to install; with CI=true it fails. Waiting is on a condition
// that the page fulfils, within a deadline that is never a measure of anything.
//
//	tab := browser.Open(t, server.URL+"/tasks")
//	tab.Click(`button[value="retry"]`)
//	tab.Await(`document.querySelector("#said").textContent.includes("retried")`)
package browser
