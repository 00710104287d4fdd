// Package image holds the Dockerfile against BuildKit's own linter, and the image that buildah makes of it against what is
// promised of it. It is a module of its own, so that neither the service nor its other tests depend on BuildKit.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	spec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
)

const root = "../../.."

func dockerfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// bases knows the one image that the Dockerfile begins with, and asks no registry.
type bases struct{}

func (bases) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if !strings.HasPrefix(ref, "docker.io/library/golang:1.") {
		return "", "", nil, errors.New("no base of ours: " + ref)
	}
	config, err := json.Marshal(spec.DockerOCIImage{})
	return ref, digest.FromBytes(config), config, err
}

func options(text string) dockerfile2llb.ConvertOpt {
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(text))
	source.Definition = &llb.Definition{} // findings are told with it
	return dockerfile2llb.ConvertOpt{MetaResolver: bases{}, SourceMap: source}
}

// lint gives the rules that BuildKit finds broken, and what would end a build.
func lint(t *testing.T, text string) (found []string) {
	t.Helper()
	results, err := dockerfile2llb.DockerfileLint(t.Context(), []byte(text), options(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range results.Warnings {
		found = append(found, w.RuleName+": "+w.Detail)
	}
	if results.Error != nil {
		found = append(found, "error: "+results.Error.Message)
	}
	return found
}

// promises gives what an image's configuration lacks of what is promised.
func promises(c spec.DockerOCIImageConfig) (broken []string) {
	user, group, _ := strings.Cut(c.User, ":")
	for _, id := range []string{user, group} {
		if n, err := strconv.Atoi(id); err != nil || n == 0 {
			broken = append(broken, "the user is not a number, or root's: "+c.User)
		}
	}
	if !slices.Equal(c.Entrypoint, []string{"/sluice"}) || len(c.Cmd) != 0 {
		broken = append(broken, "the entry point is not the binary alone")
	}
	if c.Healthcheck == nil || !slices.Equal(c.Healthcheck.Test, []string{"CMD", "/sluice", "health"}) {
		broken = append(broken, "the health check is not sluice's own")
	}
	if c.StopSignal != "SIGTERM" {
		broken = append(broken, "it is not stopped by SIGTERM")
	}
	for _, setting := range []string{"SLUICE_HTTP_ADDR=:9464", "ZONEINFO=/zoneinfo.zip"} {
		if !slices.Contains(c.Env, setting) {
			broken = append(broken, "the environment lacks "+setting)
		}
	}
	return broken
}

// convert is what BuildKit would build: the image's configuration.
func convert(t *testing.T, text string) (spec.DockerOCIImageConfig, error) {
	t.Helper()
	result, err := dockerfile2llb.Dockerfile2LLB(t.Context(), []byte(text), options(text))
	if err != nil {
		return spec.DockerOCIImageConfig{}, err
	}
	return result.Image.Config, nil
}

func TestDockerfile(t *testing.T) {
	text := dockerfile(t)
	for _, finding := range lint(t, text) {
		t.Error(finding)
	}
	config, err := convert(t, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range promises(config) {
		t.Error(broken)
	}
}

// What the two checks are worth: each of these changes is found.
func TestPlantedFaults(t *testing.T) {
	text := dockerfile(t)
	for _, fault := range []struct{ old, new, finding string }{
		{"} AS build", "} as build", "FromAsCasing"},
		{"golang:${GO_VERSION}", "golang:${GO_VERSOIN}", "UndefinedArgInFrom"},
		{"WORKDIR /src", "WORKDIR src", "WorkdirRelativePath"},
		{"EXPOSE 9464", "expose 9464", "ConsistentInstructionCasing"},
		{"ENV SLUICE_HTTP_ADDR=:9464", "ENV AWS_SECRET_ACCESS_KEY=x SLUICE_HTTP_ADDR=:9464", "SecretsUsedInArgOrEnv"},
		{`ENTRYPOINT ["/sluice"]`, "ENTRYPOINT /sluice", "JSONArgsRecommended"},
		{"COPY --from=build /out/sluice /", "COPY --from=biuld /out/sluice /", "error: "},
		{"FROM scratch", "FORM scratch", "error: "},
	} {
		if found := lint(t, replace(t, text, fault.old, fault.new)); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, fault.finding) }) {
			t.Errorf("%s: found %q; want %s", fault.new, found, fault.finding)
		}
	}
	for _, fault := range []struct{ old, new, finding string }{
		{"USER 65532:65532", "USER root", "the user is"},
		{"USER 65532:65532", "USER 0:65532", "the user is"},
		{`ENTRYPOINT ["/sluice"]`, `ENTRYPOINT ["sh", "-c", "/sluice"]`, "the entry point"},
		{`CMD ["/sluice", "health"]`, "CMD curl localhost:9464", "the health check"},
		{"STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "it is not stopped"},
		{"ADDR=:9464", "ADDR=127.0.0.1:9464", "the environment lacks SLUICE_HTTP_ADDR"},
	} {
		config, err := convert(t, replace(t, text, fault.old, fault.new))
		if err != nil {
			t.Fatal(err)
		}
		if found := promises(config); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, fault.finding) }) {
			t.Errorf("%s: found %q; want %s", fault.new, found, fault.finding)
		}
	}
}

func replace(t *testing.T, text, old, new string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("the Dockerfile has %q %d times; this test changes it where it is once", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, new, 1)
}
