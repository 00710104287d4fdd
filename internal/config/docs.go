package config

import (
	"bytes"
	"fmt"
	"strings"
)

// docsHead comes before the settings; the first verb is for those that can change while the service runs.
const docsHead = `# Configuration

This page is made by ` + "`sluice config --docs`" + `.

A setting is taken from, the later the stronger: its default, the YAML file that ` + "`--config` or `SLUICE_CONFIG`" + ` names, the
environment, a flag. Each has all of these, and its names follow from one another: ` + "`SLUICE_FLUSH_BYTES`" + ` in the environment,
` + "`flush_bytes:` in the file, `--flush-bytes`" + ` as a flag. An empty value is no value. An unknown name is an error that offers the
nearest known one; the names that Kubernetes injects beside a service called sluice (` + "`SLUICE_SERVICE_*`, `SLUICE_PORT*`" + `) are passed over.

Durations are Go's (` + "`90s`, `5m`" + `). Sizes are bytes, or take ` + "`KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`" + `. Strings of the file may hold
` + "`${VAR}`, `${VAR:-default}`, `${VAR:?message}`, and `$$`" + ` for a dollar sign.

` + "`sluice validate` prints every fault at once. `sluice config`" + ` prints the effective configuration, each value with where it came from.

A secret can be read from a file, which the setting of the same name with ` + "`_FILE`" + ` at its end names: then the value is in no environment
and no process list. Setting both is a fault.

On SIGHUP a running service reads its configuration again, the file above all: the environment and the flags of a process do not
change. It takes over %s, between two batches, and logs each with its old and new value;
of every other change it logs that it needs a restart, also where a detector changes in anything else. A configuration with a fault is refused
as a whole, and the service goes on with the one that it has.

## Settings

`

const docsDetectors = `
## Detectors

Each detector that ` + "`SLUICE_ANOMALY_DETECTORS`" + ` names has the settings below. Names are lower-case letters, digits and ` + "`_`" + `; in the
environment they are upper-case. These say the same, for a detector called ` + "`source_rate`" + `:

` + "```yaml" + `
anomaly:
  detectors:
    source_rate:
      kind: rate
      key: [sourceip]
      window: 10m
` + "```" + `

` + "```ini" + `
SLUICE_ANOMALY_DETECTORS=source_rate
SLUICE_ANOMALY_SOURCE_RATE_KIND=rate
SLUICE_ANOMALY_SOURCE_RATE_KEY=sourceip
SLUICE_ANOMALY_SOURCE_RATE_WINDOW=10m
` + "```" + `

` + "```sh" + `
sluice run --anomaly-detectors source_rate --anomaly-source-rate-kind rate \
  --anomaly-source-rate-key sourceip --anomaly-source-rate-window 10m
` + "```" + `

Where several sources name detectors, the strongest says which of them run.

`

const docsAWS = `
## AWS

Credentials, region and endpoints are the SDK's own: ` + "`AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL_KINESIS`, `AWS_ENDPOINT_URL_DYNAMODB`,\n`AWS_ENDPOINT_URL_S3`" + ` and so on. With an S3 endpoint set, objects are addressed by path. An endpoint over plain http is refused
unless it is on this machine or ` + "`SLUICE_ALLOW_INSECURE_ENDPOINTS`" + ` is true.

## OpenTelemetry

With an endpoint, a batch and its steps are told as [spans](operations.md#what-a-batch-went-through). These names are OpenTelemetry's own, and of the
environment alone. Each beginning with ` + "`OTEL_EXPORTER_OTLP_`" + ` has one beginning with ` + "`OTEL_EXPORTER_OTLP_TRACES_`" + ` that is the stronger.

| environment | default | meaning |
|---|---|---|
| ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` | none | the collector, such as ` + "`http://localhost:4318`; `/v1/traces` is added, but not to `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`" + ` |
| ` + "`OTEL_EXPORTER_OTLP_PROTOCOL`" + ` | ` + "`http/protobuf`" + ` | the only one; any other is a fault |
| ` + "`OTEL_EXPORTER_OTLP_HEADERS`" + ` | none | ` + "`name=value`" + `, comma-separated; secret: it is shown nowhere, and goes over plain http only on this machine, or with ` + "`SLUICE_ALLOW_INSECURE_ENDPOINTS`" + ` |
| ` + "`OTEL_EXPORTER_OTLP_TIMEOUT`" + ` | ` + "`10000`" + ` | of an attempt, in milliseconds |
| ` + "`OTEL_EXPORTER_OTLP_COMPRESSION`" + ` | ` + "`none`" + ` | or ` + "`gzip`" + ` |
| ` + "`OTEL_SERVICE_NAME`" + ` | ` + "`SLUICE_APP`" + ` | the service's name |
| ` + "`OTEL_RESOURCE_ATTRIBUTES`" + ` | none | ` + "`name=value`" + `, comma-separated |
| ` + "`OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`" + ` | ` + "`parentbased_always_on`" + ` | or ` + "`always_on`, `always_off`, `traceidratio`" + ` with the part that is told, and these after ` + "`parentbased_`" + `, which is the same: a batch has no parent |
| ` + "`OTEL_TRACES_EXPORTER`, `OTEL_SDK_DISABLED`" + ` | ` + "`otlp`, `false`" + ` | ` + "`none`, or `true`" + `: no spans |
`

// liveSettings are those that can change while the service runs, in Markdown.
func liveSettings() string {
	var names []string
	for _, k := range keys() {
		if k.live {
			names = append(names, "`"+envPrefix+k.name+"`")
		}
	}
	for _, k := range detectorKeys() {
		if k.live {
			names = append(names, "a detector's `"+k.name+"`")
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Docs is the reference of all settings, in Markdown.
func Docs() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, docsHead, liveSettings())
	out.WriteString("| environment | file | flag | default | meaning |\n|---|---|---|---|---|\n")
	for _, k := range withFiles(keys()) {
		inFile := "`" + yamlPath(k.name) + "`"
		if k.name == configKey {
			inFile = ""
		}
		fmt.Fprintf(&out, "| `%s%s` | %s | `--%s` | %s | %s |\n",
			envPrefix, k.name, inFile, flagName(k.name), docDefault(k), k.doc)
	}
	out.WriteString(docsDetectors)
	out.WriteString("| environment | file | flag | default | meaning |\n|---|---|---|---|---|\n")
	for _, k := range detectorKeys() {
		fmt.Fprintf(&out, "| `%sANOMALY_<NAME>_%s` | `%s` | `--anomaly-<name>-%s` | %s | %s |\n",
			envPrefix, k.name, yamlKey(k.name), flagName(k.name), docDefault(k), k.doc)
	}
	out.WriteString(docsAWS)
	return out.Bytes()
}

func docDefault[T any](k key[T]) string {
	switch {
	case k.def != "":
		return "`" + k.def + "`"
	case k.required:
		return "required"
	}
	return k.note
}

// Usage lists the flags of all settings, for a terminal.
func Usage() string {
	var out strings.Builder
	item := func(flag, def, doc string) {
		fmt.Fprintf(&out, "  --%s\n        %s (%s)\n", flag, strings.ReplaceAll(doc, "`", ""), strings.ReplaceAll(def, "`", ""))
	}
	for _, k := range withFiles(keys()) {
		item(flagName(k.name), usageDefault(k), k.doc)
	}
	for _, k := range detectorKeys() {
		item("anomaly-<name>-"+flagName(k.name), usageDefault(k), k.doc)
	}
	return out.String()
}

func usageDefault[T any](k key[T]) string {
	if k.required && k.def == "" {
		return "required"
	}
	return "default: " + docDefault(k)
}
