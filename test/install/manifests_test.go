package install

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// programs are built once for all tests that want them: reattach, and the reader of
// manifests, which is a module of its own.
var programs = sync.OnceValue(func() func(t *testing.T, name string) string {
	dir, err := os.MkdirTemp("", "reattach-programs")
	if err != nil {
		panic(err)
	}
	scratch = append(scratch, dir)
	sources := map[string][]string{
		"reattach":  {"build", "-o", dir, "./cmd/reattach"},
		"manifests": {"-C", "test/install/manifests", "build", "-o", dir, "."},
	}
	return func(t *testing.T, name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			command(t, []string{"CGO_ENABLED=0"}, "go", sources[name]...)
		}
		return path
	}
})

// manifest reads a project's file as its own system does, into what.
func manifest(t *testing.T, system, path string, what any) {
	t.Helper()
	if os.Getenv("REATTACH_FAST") != "" {
		t.Skip("Nomad's and Kubernetes' own code takes a minute to build: left out of the fast tests")
	}
	out := command(t, nil, programs()(t, "manifests"), system, path)
	if err := json.Unmarshal([]byte(out), what); err != nil {
		t.Fatal(err)
	}
}

// checks runs `reattach check` on a configuration whose secrets, files below a
// directory, are there, and laid out as Kubernetes lays out what it mounts: by links.
func checks(t *testing.T, config, secrets string) {
	t.Helper()
	dir := t.TempDir()
	named := regexp.MustCompile(regexp.QuoteMeta(secrets)+`/([a-z_-]+)"`).FindAllStringSubmatch(config, -1)
	if len(named) == 0 {
		t.Fatalf("no secret of %s in\n%s", secrets, config)
	}
	files := map[string]string{"reattach.hcl": strings.ReplaceAll(config, secrets, dir)}
	for _, name := range named {
		files[name[1]] = "secret"
	}
	if err := os.Mkdir(filepath.Join(dir, "..2026"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, "..2026", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..2026", filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	said := command(t, []string{"OBSERVER=tested"}, programs()(t, "reattach"), "check", dir)
	contains(t, "reattach check", said, "no mistakes: 1 resource, 2 endpoints, 1 handle")
}

// TestNomadJob: Nomad's parser knows every word, and reattach every one of the
// configuration within.
func TestNomadJob(t *testing.T) {
	var job struct {
		TaskGroups []struct {
			Count    int
			Update   struct{ MaxParallel, Canary int }
			Services []struct {
				Checks []struct{ Path, PortLabel string }
			}
			Tasks []struct {
				User, Driver string
				Templates    []struct{ DestPath, EmbeddedTmpl, ChangeMode, ChangeSignal string }
			}
		}
	}
	manifest(t, "nomad", absolute(t, "deployments/nomad/reattach.nomad.hcl"), &job)
	group := job.TaskGroups[0]
	if group.Count != 1 || group.Update.MaxParallel != 1 || group.Update.Canary != 0 {
		t.Errorf("two may run at a time: %+v", group)
	}
	if paths := group.Services[0].Checks; paths[0].Path != "/-/ready" || paths[1].Path != "/-/healthy" {
		t.Errorf("checks %+v", paths)
	}
	config := group.Tasks[0].Templates[0]
	if config.ChangeMode != "signal" || config.ChangeSignal != "SIGHUP" {
		t.Errorf("a new configuration is told by %s %s", config.ChangeMode, config.ChangeSignal)
	}
	checks(t, strings.ReplaceAll(config.EmbeddedTmpl, `{{ env "NOMAD_ADDR_http" }}`, "127.0.0.1:9778"), "/secrets")
}

// object is what the tests look at in Kubernetes' objects.
type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	// StringData are a Secret's values.
	StringData map[string]string
	Spec       struct {
		Replicas    *int
		Strategy    struct{ Type string }
		Selector    json.RawMessage // a Service's, or a matchLabels
		PodSelector json.RawMessage
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
		Ports []struct{ TargetPort any }
	}
}

type pod struct {
	ServiceAccountName           string
	AutomountServiceAccountToken *bool
	SecurityContext              struct {
		RunAsNonRoot   bool
		RunAsUser      int
		SeccompProfile struct{ Type string }
	}
	Containers []struct {
		Ports           []struct{ Name string }
		LivenessProbe   struct{ HTTPGet struct{ Path string } }
		ReadinessProbe  struct{ HTTPGet struct{ Path string } }
		VolumeMounts    []struct{ Name, MountPath string }
		SecurityContext struct {
			AllowPrivilegeEscalation *bool
			ReadOnlyRootFilesystem   bool
			Capabilities             struct{ Drop []string }
		}
	}
	Volumes []struct {
		Name                  string
		ConfigMap             struct{ Name string }
		Secret                struct{ SecretName string }
		PersistentVolumeClaim struct{ ClaimName string }
	}
}

// cluster is every object, by its kind.
func cluster(t *testing.T) map[string]object {
	t.Helper()
	var objects []object
	manifest(t, "kubernetes", absolute(t, "deployments/kubernetes"), &objects)
	all := map[string]object{}
	for _, o := range objects {
		if _, twice := all[o.Kind]; twice {
			t.Errorf("two objects of kind %s", o.Kind)
		}
		all[o.Kind] = o
		if o.Kind != "Namespace" && o.Metadata.Namespace != "reattach" {
			t.Errorf("%s %s is in the namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
	}
	kinds := []string{"ConfigMap", "Deployment", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount"}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, kinds) {
		t.Fatalf("objects %q, want %q", got, kinds)
	}
	return all
}

// TestKubernetesFits: what the objects say of each other is so, one runs at a time,
// and it runs as Kubernetes' restricted standard has it.
func TestKubernetesFits(t *testing.T) {
	all := cluster(t)
	deployment := all["Deployment"].Spec
	if deployment.Replicas == nil || *deployment.Replicas != 1 || deployment.Strategy.Type != "Recreate" {
		t.Errorf("two may run at a time: %+v", deployment)
	}
	selectors := map[string]json.RawMessage{"Deployment": deployment.Selector, "Service": all["Service"].Spec.Selector,
		"NetworkPolicy": all["NetworkPolicy"].Spec.PodSelector, "PodDisruptionBudget": all["PodDisruptionBudget"].Spec.Selector}
	for kind, selector := range selectors {
		var labels struct{ MatchLabels map[string]string }
		if kind == "Service" {
			_ = json.Unmarshal(selector, &labels.MatchLabels)
		} else {
			_ = json.Unmarshal(selector, &labels)
		}
		if !maps.Equal(labels.MatchLabels, deployment.Template.Metadata.Labels) {
			t.Errorf("%s selects %v, the pod has %v", kind, labels.MatchLabels, deployment.Template.Metadata.Labels)
		}
	}
	spec := deployment.Template.Spec
	c := spec.Containers[0]
	if c.LivenessProbe.HTTPGet.Path != "/-/healthy" || c.ReadinessProbe.HTTPGet.Path != "/-/ready" {
		t.Errorf("probes %+v, %+v", c.LivenessProbe, c.ReadinessProbe)
	}
	if port := all["Service"].Spec.Ports[0].TargetPort; port != c.Ports[0].Name {
		t.Errorf("the Service leads to %v, the pod has %s", port, c.Ports[0].Name)
	}
	if s := c.SecurityContext; !spec.SecurityContext.RunAsNonRoot || spec.SecurityContext.RunAsUser != 65532 || spec.SecurityContext.SeccompProfile.Type != "RuntimeDefault" ||
		!s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("it has more rights than it needs: %+v, %+v", spec.SecurityContext, s)
	}
	if spec.ServiceAccountName != all["ServiceAccount"].Metadata.Name || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Error("the pod has a token, or another account")
	}
}

// TestKubernetesMounts: every volume is there and mounted, and the configuration passes
// with the secrets that the Secret has.
func TestKubernetesMounts(t *testing.T) {
	all := cluster(t)
	spec := all["Deployment"].Spec.Template.Spec
	mounts := map[string]string{}
	for _, m := range spec.Containers[0].VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	want := map[string]string{"config": "/etc/reattach", "secrets": "/run/secrets/reattach", "state": "/var/lib/reattach", "run": "/run/reattach"}
	if !maps.Equal(mounts, want) {
		t.Errorf("mounts %v, want %v", mounts, want)
	}
	for _, v := range spec.Volumes {
		if _, mounted := mounts[v.Name]; !mounted {
			t.Errorf("the volume %s is not mounted", v.Name)
		}
		for kind, name := range map[string]string{"ConfigMap": v.ConfigMap.Name, "Secret": v.Secret.SecretName, "PersistentVolumeClaim": v.PersistentVolumeClaim.ClaimName} {
			if name != "" && name != all[kind].Metadata.Name {
				t.Errorf("the volume %s is of the %s %s, which is called %s", v.Name, kind, name, all[kind].Metadata.Name)
			}
		}
	}
	config := all["ConfigMap"].Data["reattach.hcl"]
	for _, name := range regexp.MustCompile(`/run/secrets/reattach/([a-z-]+)"`).FindAllStringSubmatch(config, -1) {
		if _, ok := all["Secret"].StringData[name[1]]; !ok {
			t.Errorf("the Secret has no %s", name[1])
		}
	}
	checks(t, config, "/run/secrets/reattach")
}
