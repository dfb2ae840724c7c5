package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgscheduler/scheduler/httpapi"
)

// watchKeysFlag is for the commands that serve.
func watchKeysFlag(flags *pflag.FlagSet) {
	flags.String("watch-keys", "", "sign watch URLs with the first of `keys`, as id:base64,id:base64, and believe all (env SCHEDULER_WATCH_KEYS; default: one derived from the token)")
}

// watchKeys reads the keys of watch URLs from the flag or the environment. nil: none are given.
func (a *app) watchKeys(cmd *cobra.Command) ([]httpapi.WatchKey, error) {
	name, text := "--watch-keys", cmd.Flags().Lookup("watch-keys").Value.String()
	if !cmd.Flags().Changed("watch-keys") {
		name, text = "SCHEDULER_WATCH_KEYS", a.env("SCHEDULER_WATCH_KEYS")
	}
	keys, err := httpapi.ParseWatchKeys(text)
	if err != nil {
		return nil, usage(cmd.CommandPath(), "bad "+name, "%v", err)
	}
	return keys, nil
}

// api is what the HTTP API is configured with.
func (a *app) api(keys []httpapi.WatchKey) httpapi.Config {
	return httpapi.Config{Token: a.global.token, WatchKeys: keys, Version: version().Version, Logger: a.global.logger}
}

// watchKeysSource says in words for the log what watch URLs are signed with.
func watchKeysSource(config httpapi.Config) string {
	switch config.WatchKeySource() {
	case "given":
		return "given"
	case "token":
		return "derived from the token"
	}
	return "random, watch URLs end with this process"
}
