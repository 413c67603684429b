package main

import (
	"os/exec"
	"strings"
	"testing"
)

// Whatever slow clients do, others find the service available: each sample of slowhttptest says so.
func TestSlowClients(t *testing.T) {
	tool, err := exec.LookPath("slowhttptest")
	if err != nil {
		t.Skip("slowhttptest is not installed (scripts/install-test-packages.sh)")
	}
	seconds, connections := "3", "150"
	if torture() {
		seconds, connections = "20", "500"
	}
	for class, args := range classArgs {
		for name, mode := range map[string]string{
			"slow heads":  "-H -i 1",
			"slow bodies": "-B -i 1 -s 8192 -t POST",
			"ranges":      "-R -a 5 -b 3000",
			"slow reads":  "-X -w 1 -y 2 -n 1 -z 32 -k 3",
		} {
			t.Run(class+", "+name, func(t *testing.T) {
				t.Parallel()
				s := start(t, append([]string{wasm("echo"), "--graceful-timeout", "100ms"}, args...)...)
				flags := strings.Fields(mode + " -c " + connections + " -r 100 -p 3 -l " + seconds + " -u http://" + s.addr + "/")
				text, err := exec.Command(tool, flags...).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				samples := 0
				for line := range strings.Lines(string(text)) {
					if _, answer, ok := strings.Cut(line, "service available:"); ok {
						samples++
						if !strings.Contains(answer, "YES") {
							t.Errorf("no service:\n%s", text)
						}
					}
				}
				if samples == 0 {
					t.Errorf("no samples:\n%s", text)
				}
			})
		}
	}
}
