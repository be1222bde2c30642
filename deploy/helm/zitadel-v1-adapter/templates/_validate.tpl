{{- /* Refuses values that cannot work together. What is wrong by itself, values.schema.json refuses. */}}
{{- define "zitadel-v1-adapter.validate" -}}
{{- include "zitadel-v1-adapter.validatePorts" . }}
{{- include "zitadel-v1-adapter.validateRollout" . }}
{{- include "zitadel-v1-adapter.validateScaling" . }}
{{- include "zitadel-v1-adapter.validateArguments" . }}
{{- include "zitadel-v1-adapter.validateStore" . }}
{{- include "zitadel-v1-adapter.validateSQLite" . }}
{{- end }}

{{- define "zitadel-v1-adapter.validatePorts" -}}
{{- $taken := dict }}
{{- range eq .Values.mode "sidecar" | ternary (list "http" "admin") (list "http" "grpc" "admin") }}
{{- $port := index $.Values.ports . | int | toString }}
{{- if hasKey $taken $port }}
{{- fail (printf "ports.%s: %s is ports.%s already: set another one" . $port (get $taken $port)) }}
{{- end }}
{{- $_ := set $taken $port . }}
{{- end }}
{{- end }}

{{- define "zitadel-v1-adapter.validateRollout" -}}
{{- $shadow := dig "rollout" "shadow" false .Values.config | toString }}
{{- if and (eq $shadow "true") (eq (dig "rollout" "percent" 100 .Values.config | int) 100) }}
{{- fail "config.rollout.shadow: with config.rollout.percent 100, native v1 answers no call that could be judged: set a lower percent, or leave this out" }}
{{- end }}
{{- end }}

{{- define "zitadel-v1-adapter.validateScaling" -}}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d: set it to that or less" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if and .enabled (not .targetCPUUtilizationPercentage) (not .targetMemoryUtilizationPercentage) }}
{{- fail "autoscaling.enabled: nothing is aimed at: set autoscaling.targetCPUUtilizationPercentage or targetMemoryUtilizationPercentage" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Arguments that the chart's own objects would not know of. */}}
{{- define "zitadel-v1-adapter.validateArguments" -}}
{{- $values := dict "--config" "config" "--listen" "ports.http" "server.listen" "ports.http" "--admin-listen" "ports.admin" "admin.listen" "ports.admin" }}
{{- range .Values.extraArgs }}
{{- $argument := trimPrefix "--set=" . | splitList "=" | first }}
{{- with get $values $argument }}
{{- fail (printf "extraArgs: %s: the chart sets that itself: set %s instead" $argument .) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Where the ledger is. Addresses may hold passwords, so they are not printed. */}}
{{- define "zitadel-v1-adapter.validateStore" -}}
{{- $store := dig "usage" "store" "" .Values.config | default "" | toString }}
{{- if and $store .Values.secrets.usageStore.name }}
{{- fail "config.usage.store: secrets.usageStore names a database too: leave one of them out" }}
{{- end }}
{{- if and (dig "usage" "storeFile" "" .Values.config) (or $store .Values.secrets.usageStore.name) }}
{{- fail "config.usage.storeFile: config.usage.store or secrets.usageStore names a database too: leave one of them out" }}
{{- end }}
{{- if and $store (not (regexMatch "^(sqlite:.|postgres(ql)?://)" $store)) }}
{{- fail "config.usage.store: it is neither sqlite: and a path nor a URL that begins with postgres://: set it to one of these" }}
{{- end }}
{{- if .Values.persistence.enabled }}
{{- if eq .Values.mode "sidecar" }}
{{- fail "persistence.enabled: the pod of a sidecar is another chart's: give it a volume there, mount it by extraVolumeMounts, and set config.usage.store" }}
{{- end }}
{{- if not (include "zitadel-v1-adapter.sqlite" .) }}
{{- fail "persistence.enabled: the ledger is in a PostgreSQL, and needs no volume: leave this out, or the database (secrets.usageStore, config.usage.store)" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "zitadel-v1-adapter.validateSQLite" -}}
{{- $path := include "zitadel-v1-adapter.sqlite" . }}
{{- if $path }}
{{- $folder := dir $path }}
{{- if or (not (isAbs $path)) (eq $folder "/") }}
{{- fail (printf "config.usage.store: sqlite:%s: set an absolute path in a folder that a volume can be, such as sqlite:/var/lib/zitadel-v1-adapter/usage.db" $path) }}
{{- end }}
{{- $kept := .Values.persistence.enabled }}
{{- range .Values.extraVolumeMounts }}
{{- if and (hasPrefix (printf "%s/" (clean .mountPath)) (printf "%s/" $folder)) (not .readOnly) }}
{{- $kept = true }}
{{- end }}
{{- end }}
{{- if not $kept }}
{{- fail (printf "config.usage.store: sqlite:%s: no volume keeps that file: set persistence.enabled, or mount a volume of your own at %s (extraVolumes, extraVolumeMounts)" $path $folder) }}
{{- end }}
{{- $pods := .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicaCount | int }}
{{- if and (eq .Values.mode "gateway") (gt $pods 1) }}
{{- fail (printf "config.usage.store: sqlite:%s is for one pod, and there may be %d: set replicaCount to 1 and autoscaling.enabled to false, or keep the ledger in a PostgreSQL (secrets.usageStore)" $path $pods) }}
{{- end }}
{{- end }}
{{- end }}
