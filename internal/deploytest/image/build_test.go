package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	spec "github.com/moby/docker-image-spec/specs-go/v1"
)

// What the image is told that it is, by the command of docs/ecs.md: of these sources.
const version = "v1.0.0"

func commit(t *testing.T) string {
	t.Helper()
	return output(t, exec.Command("git", "rev-parse", "HEAD"))
}

// builder is buildah over a folder of its own. It asks no registry.
type builder struct{ folder string }

// buildah is how the command begins.
func (b builder) buildah() []string {
	return []string{"buildah", "--storage-driver", "vfs", "--root", filepath.Join(b.folder, "root"), "--runroot", filepath.Join(b.folder, "runroot")}
}

func (b builder) run(t *testing.T, args ...string) string {
	t.Helper()
	return output(t, exec.CommandContext(t.Context(), "buildah", append(b.buildah()[1:], args...)...))
}

func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", command, err, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	return output(t, exec.Command("go", "env", name))
}

// base makes the image that the Dockerfile begins with, of this machine's files: a shell, certificates, and of Go what is
// copied from it. The toolchain itself is mounted by build.
func (b builder) base(t *testing.T, tag string) {
	t.Helper()
	files := map[string]string{ // where from, by where to
		"/bin/sh":                             "/bin/sh",
		"/etc/ssl/certs/ca-certificates.crt":  "/etc/ssl/certs/ca-certificates.crt",
		"/usr/local/go/lib/time/zoneinfo.zip": filepath.Join(goEnv(t, "GOROOT"), "lib/time/zoneinfo.zip"),
	}
	for _, library := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(output(t, exec.Command("ldd", "/bin/sh")), -1) {
		files[library[1]] = library[1]
	}
	tree := filepath.Join(b.folder, "base")
	for to, from := range files {
		copyFile(t, filepath.Join(tree, to), from)
	}
	for _, folder := range []string{"tmp", "root", "go"} {
		if err := os.MkdirAll(filepath.Join(tree, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	container := b.run(t, "from", "scratch")
	b.run(t, "copy", container, tree, "/")
	b.run(t, "config", "--env", "PATH=/usr/local/go/bin:/bin", "--env", "HOME=/root", "--env", "GOPATH=/go", container)
	b.run(t, "commit", "--rm", container, tag)
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o755); err != nil {
		t.Fatal(err)
	}
}

// build makes the image of the Dockerfile by the command of docs/ecs.md, buildah in the place of docker, with this machine's Go and
// the modules that it has. It gives the image's name.
func (b builder) build(t *testing.T) (tag string) {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/ecs.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^docker build --build-arg VERSION=(\S+) .*--tag (\S+) \.$`).FindSubmatch(text)
	if command == nil || string(command[1]) != version {
		t.Fatalf("docs/ecs.md has no command that builds %s; this is found: %q", version, command)
	}
	goVersion := strings.TrimPrefix(goEnv(t, "GOVERSION"), "go")
	b.base(t, "docker.io/library/golang:"+goVersion)
	modules := filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")
	words := append(b.buildah(), "build", "--isolation", "chroot", "--pull-never", "--format", "docker",
		"--volume", goEnv(t, "GOROOT")+":/usr/local/go:ro", "--volume", modules+":/modules:ro",
		"--build-arg", "GO_VERSION="+goVersion, "--build-arg", "GOPROXY=file:///modules")
	folder := t.TempDir()
	docker := "#!/bin/sh\n[ \"$1\" = build ]\nshift\nexec '" + strings.Join(words, "' '") + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(docker), 0o755); err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-ec", string(command[0]))
	shell.Dir = root
	shell.Env = append(shell.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
	output(t, shell)
	return string(command[2])
}

// TestImage builds the image and looks at all that it is made of; then its binary runs as in a container whose root cannot be
// written to.
func TestImage(t *testing.T) {
	if _, err := exec.LookPath("buildah"); err != nil || os.Getuid() != 0 {
		t.Skip("not checked: the image is built where buildah is, by root (apt-get install buildah)")
	}
	output(t, exec.Command("sh", "-ec", "cd "+root+" && GOWORK=off go list -deps ./cmd/sluice >/dev/null")) // the modules are here
	b := builder{t.TempDir()}
	tag := b.build(t)

	var image struct {
		Docker struct{ Config spec.DockerOCIImageConfig }
	}
	if err := json.Unmarshal([]byte(b.run(t, "inspect", "--type", "image", tag)), &image); err != nil {
		t.Fatal(err)
	}
	for _, broken := range promises(image.Docker.Config) {
		t.Error(broken)
	}
	container := b.run(t, "from", "--pull-never", tag)
	tree := b.run(t, "mount", container)
	t.Cleanup(func() { // t.Context has ended
		_ = exec.Command("buildah", append(b.buildah()[1:], "umount", container)...).Run()
	})

	t.Run("nothing else is in it", func(t *testing.T) {
		if got, want := files(t, tree), []string{"etc/ssl/certs/ca-certificates.crt", "sluice", "zoneinfo.zip"}; !slices.Equal(got, want) {
			t.Errorf("it holds %q; want %q", got, want)
		}
		certificates, err := os.ReadFile(filepath.Join(tree, "etc/ssl/certs/ca-certificates.crt"))
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(certificates) {
			t.Errorf("the certificates cannot be read: %v", err)
		}
	})
	t.Run("another build gives the same binary", func(t *testing.T) {
		if got, want := digestOf(t, filepath.Join(tree, "sluice")), digestOf(t, buildHere(t)); got != want {
			t.Errorf("SHA-256 %s in the image; %s of the same command in %s", got, want, root)
		}
	})
	t.Run("it runs on a root that cannot be written to", func(t *testing.T) { testRun(t, tree) })
}

// files lists all that is no folder.
func files(t *testing.T, tree string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(tree), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func digestOf(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// buildHere runs the Dockerfile's command in another folder than the image's build did, and with another build cache.
func buildHere(t *testing.T) string {
	t.Helper()
	_, command, found := strings.Cut(dockerfile(t), "CGO_ENABLED=0")
	command, _, closed := strings.Cut(command, "-o /out/sluice")
	if !found || !closed {
		t.Fatal("the Dockerfile's go build is not found")
	}
	binary := filepath.Join(t.TempDir(), "sluice")
	build := exec.CommandContext(t.Context(), "sh", "-ec", "CGO_ENABLED=0"+command+`-o "$BINARY" ./cmd/sluice`)
	build.Dir = root
	build.Env = append(build.Environ(), "BINARY="+binary, "VERSION="+version, "COMMIT="+commit(t))
	output(t, build)
	return binary
}

// contained is a command of the image as an orchestrator runs it: in its tree, which cannot be written to, as its user, and
// with its environment alone.
func contained(ctx context.Context, tree string, environment []string, args ...string) *exec.Cmd {
	const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec chroot --userspec=65532:65532 --groups= "$0" /sluice "$@"`
	command := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-ec", script, tree}, args...)...)
	command.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "ZONEINFO=/zoneinfo.zip"}, environment...)
	return command
}

func testRun(t *testing.T, tree string) {
	if text, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("not checked: this machine forbids mounts: %s", text)
	}
	ctx := t.Context()
	if got := output(t, contained(ctx, tree, nil, "version")); !strings.HasPrefix(got, "sluice "+version+"\ncommit "+commit(t)+"\ngo1.") {
		t.Errorf("version: %q", got)
	}
	needed := []string{"SLUICE_STREAM=orders", "SLUICE_BUCKET=lake", "SLUICE_TIMEZONE=Europe/Berlin"}
	output(t, contained(ctx, tree, needed, "validate"))
	if text, err := contained(ctx, tree, append(needed, "ZONEINFO="), "validate").CombinedOutput(); err == nil {
		t.Errorf("the zone is known without the image's zones, so that the check above says nothing: %s", text)
	}
	write := contained(ctx, tree, nil, "config", "--env") // that it can be run at all
	output(t, write)
	text, err := contained(ctx, tree, nil, "generate", "--template", "/zoneinfo.zip", "--count", "1", "--to", "/file").CombinedOutput()
	if err == nil || !strings.Contains(string(text), "read-only") {
		t.Errorf("writing to the root: %v, %s", err, text)
	}

	address := free(t)
	nowhere := "http://" + free(t)
	environment := append(needed, "SLUICE_HTTP_ADDR="+address, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
		"AWS_ENDPOINT_URL_KINESIS="+nowhere, "AWS_ENDPOINT_URL_DYNAMODB="+nowhere, "AWS_ENDPOINT_URL_S3="+nowhere)
	service := contained(ctx, tree, environment)
	var stderr bytes.Buffer
	service.Stderr = &stderr
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Wait() }()
	healthy := false
	for deadline := time.Now().Add(30 * time.Second); !healthy && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		healthy = contained(ctx, tree, environment, "health").Run() == nil
	}
	if !healthy {
		t.Error("the service does not become healthy")
	}
	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil || !healthy {
			t.Errorf("after SIGTERM: %v\n%s", err, stderr.String())
		}
	case <-time.After(30 * time.Second):
		_ = service.Process.Kill() // it may have ended just now
		t.Errorf("it still runs 30 s after SIGTERM:\n%s", stderr.String())
	}
}

// free is an address that nobody listens at now.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
