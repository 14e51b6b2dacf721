package install

import (
	"strconv"
	"strings"
	"testing"

	"github.com/reattach/reattach/test/lab"
)

// TestUnitExposure: little is left to whoever takes the daemon over.
func TestUnitExposure(t *testing.T) {
	lab.NeedImage(t, "packaging")
	const path = "/etc/systemd/system/reattach.service"
	box := lab.New(t).Packaging(
		lab.File(path, []byte(text(t, "deployments/systemd/reattach.service"))),
		lab.Program("/usr/bin/reattach", []byte("#!/bin/sh\n")))
	if said := shell(t, box, "systemd-analyze verify --man=no "+path+" 2>&1"); said != "" {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
	report := shell(t, box, "systemd-analyze security --offline=true --no-pager "+path)
	found := exposure.FindStringSubmatch(report)
	if found == nil {
		t.Fatalf("no exposure in\n%s", report)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 1.5 {
		t.Errorf("exposure %s, want at most 1.5:\n%s", found[1], report)
	}
	t.Logf("exposure %s", found[1])
}

// TestUnitSpeaksOfWhatThereIs: names that the unit, the packages and the program
// have to agree on.
func TestUnitSpeaksOfWhatThereIs(t *testing.T) {
	unit := text(t, "deployments/systemd/reattach.service")
	contains(t, "the unit", unit, "\nUser=reattach\n", "\nStateDirectory=reattach\n", "\nRuntimeDirectory=reattach\n",
		"\nConfigurationDirectory=reattach\n", "\nExecStart=/usr/bin/reattach run --config /etc/reattach\n",
		"\nRestartPreventExitStatus=2\n", "\nWatchdogSec=", "#LoadCredential=consul-token:")
	// Older systemds keep the last type that they know.
	if notify, reload := strings.Index(unit, "\nType=notify\n"), strings.Index(unit, "\nType=notify-reload\n"); notify < 0 || reload < notify {
		t.Error("Type=notify has to stand before Type=notify-reload")
	}
}
