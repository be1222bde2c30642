{{- /* The adapter's configuration file. */}}
{{- define "zitadel-v1-adapter.config" -}}
{{- $url := dig "upstream" "url" "" .Values.config }}
{{- $_ := required "config.upstream.url: missing: set it to the base URL of ZITADEL, such as https://zitadel.example.com" $url }}
{{- if regexMatch "^[a-z]+://([^@]*:[^@]*@|.*[?&]password=)" (dig "usage" "store" "" .Values.config) }}
{{- fail "config.usage.store: it has a password, which does not belong into values: put the address into a Secret, and name that in secrets.usageStore" }}
{{- end }}
{{- $defaults := dict }}
{{- if eq .Values.mode "gateway" }}
{{- /* Until the gateway has heard that a pod is going. */}}
{{- $_ := set $defaults "server" (dict "shutdownDelay" "10s") }}
{{- end }}
{{- with include "zitadel-v1-adapter.sqlite" . }}
{{- $_ := set $defaults "usage" (dict "store" (printf "sqlite:%s" .)) }}
{{- end }}
{{- mergeOverwrite $defaults (deepCopy .Values.config) | toYaml }}
{{- end }}

{{- /* Those keys of the configuration that need a restart, with their values. */}}
{{- define "zitadel-v1-adapter.restart" -}}
{{- range list "limits.connectionsPerPeer" "limits.headerBytes" "limits.headerTimeout" "limits.idleTimeout" "limits.writeTimeout" "log.format" "usage.names" "usage.retention" "usage.store" "usage.storeFile" }}
{{- $path := splitList "." . }}
{{- $value := dig (first $path) (last $path) "" $.Values.config | toString }}
{{- if $value }}
{{- printf "%s: %s\n" (join "." $path) $value }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The seconds that a pod has for its end: what the configuration says that it takes, and some. */}}
{{- define "zitadel-v1-adapter.gracePeriod" -}}
{{- $config := include "zitadel-v1-adapter.config" . | fromYaml }}
{{- $from := toDate "2006-01-02" "2000-01-01" }}
{{- $to := $from | mustDateModify $config.server.shutdownDelay | mustDateModify (dig "server" "shutdownTimeout" "15s" $config) }}
{{- sub (unixEpoch $to) (unixEpoch $from) | add 15 }}
{{- end }}
