package httpapi_test

import (
	"fmt"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

// A program that submits by SQL or by package scheduler makes the URL itself.
func ExampleWatchKey_Mint() {
	keys, err := httpapi.ParseWatchKeys("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		panic(err)
	}
	task, err := scheduler.ParseTaskID("01a1fbef-233c-7042-95b8-43300d35ff2a")
	if err != nil {
		panic(err)
	}
	fmt.Println("/watch/" + keys[0].Mint(task, time.Unix(1800086400, 0)))
	// Output: /watch/AQJrMQGh--8jPHBClbhDMA01_yoAAAAAa0sjgL0KXepHUAgTtpBFvmVQKeUt71PYovAljhOs2zPyvm-O
}
