package config

// hookSettings are gunicorn's server hooks. There they are functions, here command lines.
func hookSettings() []Setting {
	rows := []Setting{
		{
			Key: "hooks.on_starting", Help: "command run when the server begins, before the first worker",
			Doc: "This and the other hooks are command lines for `sh -c`. The command gets the event as one JSON object on its " +
				"standard input; what it writes is logged line by line; past `hook_timeout` it is killed. The server does not " +
				"wait for it and does not care how it ends. Hooks about one worker run one after the other, and so do those " +
				"about the server. See hooks.md.",
		},
		{Key: "hooks.when_ready", Help: "command run when the server serves"},
		{Key: "hooks.on_reload", Help: "command run when a reload's new generation takes over"},
		{Key: "hooks.nworkers_changed", Help: "command run when the number of workers to keep changes"},
		{Key: "hooks.pre_fork", Help: "command run when a worker is about to be started"},
		{Key: "hooks.post_worker_init", Help: "command run when a worker is ready"},
		{Key: "hooks.worker_int", Help: "command run when a worker is told to finish and exit"},
		{Key: "hooks.worker_abort", Help: "command run when a stuck worker is aborted"},
		{Key: "hooks.worker_exit", Help: "command run when a worker's process has ended"},
		{Key: "hooks.child_exit", Help: "command run when all that a worker left behind has been read"},
		{Key: "hooks.pre_exec", Help: "command run when a new binary is about to be executed"},
		{
			Key: "hooks.on_exit", Help: "command run when the server ends, after the last worker",
			Doc: "The server waits for it before it exits, for as long as `hook_timeout` allows.",
		},
	}
	for i := range rows {
		rows[i].Section, rows[i].Kind, rows[i].Reload = SectionHooks, String, Live
	}
	return rows
}

// HookCommands returns the command lines that are set by the names of their events.
func (c *Config) HookCommands() map[string]string {
	commands := map[string]string{}
	for _, s := range hookSettings() {
		if command, ok := s.Get(c).(string); ok && command != "" {
			commands[s.leaf()] = command
		}
	}
	return commands
}
