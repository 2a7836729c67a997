{{- define "clawdbot.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "clawdbot.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}
{{- end }}

{{- /* What never changes about a part: (dict "root" $ "part" "web") */}}
{{- define "clawdbot.selector" -}}
app.kubernetes.io/name: clawdbot
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "clawdbot.labels" -}}
{{ include "clawdbot.selector" . }}
app.kubernetes.io/part-of: clawdbot
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- /* Seconds a draining server may need: its own limits, then those of its supervisor, and some more. */}}
{{- define "clawdbot.grace" -}}
{{ add (int .Values.settings.DRAIN_DELAY) (int .Values.settings.DRAIN_TIMEOUT) 20 }}
{{- end }}

{{- define "clawdbot.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "clawdbot.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* A container of the image: (dict "root" $ "name" "web" "word" "web" "resources" …); "settings" adds some of its own. */}}
{{- define "clawdbot.container" -}}
name: {{ .name }}
image: {{ include "clawdbot.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .words }}
envFrom:
  - configMapRef: {name: {{ include "clawdbot.name" .root }}}
{{- with .settings }}
env:
  {{- range $name, $value := . }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- end }}
securityContext:
  {{- include "clawdbot.security" . | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/clawdbot, readOnly: true}
  - {name: var, mountPath: /var/lib/clawdbot}
  {{- if .root.Values.storage.enabled }}
  {{- range list "objects" "backups" }}
  - {name: data, mountPath: /var/lib/clawdbot/{{ . }}, subPath: {{ . }}}
  {{- end }}
  {{- end }}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* What every pod of the image has beside its container. */}}
{{- define "clawdbot.pod" -}}
serviceAccountName: {{ include "clawdbot.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "clawdbot.podSecurity" 10001 | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ .root.Values.secret.name }}
      defaultMode: 288  # 0440
      items:
        {{- range .root.Values.secret.keys }}
        - {key: {{ . }}, path: {{ . }}}
        {{- end }}
  - name: var
    emptyDir: {}
  {{- if .root.Values.storage.enabled }}
  - name: data
    persistentVolumeClaim: {claimName: {{ include "clawdbot.name" .root }}}
  {{- end }}
  - name: tmp
    emptyDir: {}
{{- end }}

{{- /* Nobody starts on tables of another version. */}}
{{- define "clawdbot.wait" -}}
initContainers:
  - {{- include "clawdbot.container" (dict "root" .root "name" "wait" "words" (list "wait") "resources" .root.Values.jobs.resources) | nindent 4 }}
{{- end }}

{{- define "clawdbot.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "clawdbot.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
