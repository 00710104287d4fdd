{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of everything: that of the release, with the chart's where it does not hold it already. */}}
{{- define "sluice.fullname" -}}
{{- $name := include "sluice.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sluice.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The port of a setting that is host:port. */}}
{{- define "sluice.port" -}}
{{- regexFind "[0-9]+$" (toString .) -}}
{{- end -}}

{{/* A value as the environment has it. Numbers go by way of JSON: Helm holds them as floats, and would write 1e+06. */}}
{{- define "sluice.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "string" . -}}
{{- . -}}
{{- else if not (kindIs "invalid" .) -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* The settings as lines NAME: "text", detectors included. */}}
{{- define "sluice.settings" -}}
{{- range $name, $value := omit .Values.config "anomaly" }}
SLUICE_{{ upper $name }}: {{ include "sluice.text" $value | quote }}
{{- end }}
{{- with dig "anomaly" "detectors" dict .Values.config }}
SLUICE_ANOMALY_DETECTORS: {{ keys . | sortAlpha | join "," | quote }}
{{- range $detector, $settings := . }}
{{- range $name, $value := $settings }}
SLUICE_ANOMALY_{{ upper $detector }}_{{ upper $name }}: {{ include "sluice.text" $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What no schema can say of the values. */}}
{{- define "sluice.check" -}}
{{- $config := .Values.config -}}
{{- range list "stream" "bucket" -}}
{{- if not (or (get $config .) (hasKey $.Values.secretEnv .)) -}}
{{- fail (printf "config.%s is required: set it in the values, or with --set config.%s=NAME" . .) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey $config "worker_id") (hasKey .Values.secretEnv "worker_id") -}}
{{- fail "config.worker_id: several pods cannot have one name; leave it out, and each takes that of its pod" -}}
{{- end -}}
{{- if not (regexMatch "^(0\\.0\\.0\\.0|\\[::\\])?:[1-9][0-9]*$" (toString $config.http_addr)) -}}
{{- fail (printf "config.http_addr is %q: probes and Prometheus come from outside of the pod; want :PORT, such as :9464" (toString $config.http_addr)) -}}
{{- end -}}
{{- /* Go's own reading of a duration, in whole seconds: date arithmetic is the one place where templates have it. */ -}}
{{- $epoch := mustToDate "2006-01-02" "2000-01-01" -}}
{{- $timeout := sub (mustDateModify $config.shutdown_timeout $epoch | unixEpoch | int64) (unixEpoch $epoch | int64) -}}
{{- if le (int64 .Values.terminationGracePeriodSeconds) $timeout -}}
{{- fail (printf "terminationGracePeriodSeconds is %d and config.shutdown_timeout is %s: the pod would be killed while it commits; want at least %d, or a shorter timeout" (int64 .Values.terminationGracePeriodSeconds) $config.shutdown_timeout (add $timeout 5)) -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if .enabled -}}
{{- if lt (int64 .shards) 1 -}}
{{- fail "autoscaling.shards is required: the number of the stream's open shards, above which a pod has nothing to do" -}}
{{- end -}}
{{- if or (gt (int64 .maxReplicas) (int64 .shards)) (gt (int64 .minReplicas) (int64 .shards)) -}}
{{- fail (printf "autoscaling: minReplicas and maxReplicas are at most the %d shards; further pods have nothing to do" (int64 .shards)) -}}
{{- end -}}
{{- if and .maxReplicas (gt (int64 .minReplicas) (int64 .maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if not .prometheus.serverAddress -}}
{{- fail "autoscaling.prometheus.serverAddress is required, such as http://prometheus-operated.monitoring:9090" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
