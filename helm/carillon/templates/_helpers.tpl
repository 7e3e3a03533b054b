{{/* Names. Objects get a suffix of up to 17 characters after the full name, so that is cut at 63 - 17. */}}
{{- define "carillon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "carillon.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains (include "carillon.name" .) .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "carillon.name" .) | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of one component: (list . "edge"). */}}
{{- define "carillon.componentName" -}}
{{- printf "%s-%s" (include "carillon.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{- define "carillon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "carillon.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object: (list . "edge"), and (list . "edge" labels) where more are given. Ours win: selectors rest on them. */}}
{{- define "carillon.labels" -}}
{{- $root := index . 0 -}}
{{- $ours := include "carillon.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $given := dict -}}
{{- if gt (len .) 2 }}{{ $given = index . 2 }}{{ end -}}
{{- merge $ours $given $root.Values.global.labels | toYaml -}}
{{- end -}}

{{/* Defaults, each key replaced by what is given, a false too: (list given defaults). */}}
{{- define "carillon.override" -}}
{{- $all := index . 1 -}}
{{- range $key, $value := index . 0 }}{{ $_ := set $all $key $value }}{{ end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* A probe with our handler, unless another one is given: (list given handler its-settings timing). */}}
{{- define "carillon.probe" -}}
{{- $given := index . 0 -}}
{{- $defaults := index . 3 -}}
{{- if not (or (hasKey $given "httpGet") (hasKey $given "tcpSocket") (hasKey $given "exec") (hasKey $given "grpc")) -}}
{{- $_ := set $defaults (index . 1) (index . 2) -}}
{{- end -}}
{{- include "carillon.override" (list $given $defaults) -}}
{{- end -}}

{{/* Metadata of an object: (list . "edge" "suffix" annotations). */}}
{{- define "carillon.metadata" -}}
{{- $root := index . 0 -}}
{{- $annotations := merge (dict) (index . 3) $root.Values.global.annotations -}}
name: {{ printf "%s-%s" (include "carillon.fullname" $root) (index . 2) }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "carillon.labels" (list $root (index . 1)) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "carillon.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" . $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "carillon.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "carillon.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Deployment, DaemonSet or StatefulSet. */}}
{{- define "carillon.edgeKind" -}}
{{- if eq .Values.edge.exposure "perPod" -}}StatefulSet
{{- else if .Values.edge.kind -}}{{ .Values.edge.kind }}
{{- else if eq .Values.edge.exposure "hostNetwork" -}}DaemonSet
{{- else -}}Deployment
{{- end -}}
{{- end -}}

{{/* Every address of the pod, for gRPC and admin HTTP: the unspecified address of IPv6 takes connections by IPv4 too. */}}
{{- define "carillon.anyAddress" -}}
{{- ternary "[::]" "0.0.0.0" (has "IPv6" .Values.ipFamilies) -}}
{{- end -}}

{{/* The SIP listeners: one of each family, because a peer is answered from the address and in the family that it asked. */}}
{{- define "carillon.sipListeners" -}}
{{- $ports := .Values.edge.ports -}}
{{- $listeners := list -}}
{{- range .Values.ipFamilies -}}
{{- $any := ternary "[::]" "0.0.0.0" (eq . "IPv6") -}}
{{- $listeners = append $listeners (printf "udp://%s:%d" $any (int $ports.udp)) -}}
{{- $listeners = append $listeners (printf "tcp://%s:%d" $any (int $ports.tcp)) -}}
{{- range (include "carillon.streams" $ | splitList "," | compact) -}}
{{- $listeners = append $listeners (printf "%s://%s:%d" . $any (int (index $ports .))) -}}
{{- end -}}
{{- end -}}
{{- join "," $listeners -}}
{{- end -}}

{{/* The Secrets of domains with a certificate of their own, separated by commas. */}}
{{- define "carillon.domainSecrets" -}}
{{- $secrets := list -}}
{{- range .Values.sip.extraDomains -}}
{{- with .tlsSecret -}}{{- $secrets = append $secrets . -}}{{- end -}}
{{- end -}}
{{- join "," ($secrets | uniq) -}}
{{- end -}}

{{/* Which of tls, ws and wss are open, separated by commas. */}}
{{- define "carillon.streams" -}}
{{- $edge := .Values.edge -}}
{{- $streams := list -}}
{{- if $edge.tls.existingSecret -}}{{- $streams = append $streams "tls" -}}{{- end -}}
{{- if $edge.webSocket.plain -}}{{- $streams = append $streams "ws" -}}{{- end -}}
{{- if $edge.webSocket.secure -}}{{- $streams = append $streams "wss" -}}{{- end -}}
{{- join "," $streams -}}
{{- end -}}

{{/* What is shown by one of them, (list . "tls"): empty for the host of carillon.advertise and the listener's own port. */}}
{{- define "carillon.advertiseStream" -}}
{{- $edge := (index . 0).Values.edge -}}
{{- $address := index $edge.advertise (index . 1) -}}
{{- if and (not $address) (eq $edge.exposure "nodePort") -}}
  {{- $address = printf "hostIP:%d" (int (index $edge.services (index . 1)).nodePort) -}}
{{- end -}}
{{- $address | replace "podIP" "$(POD_IP)" | replace "hostIP" "$(HOST_IP)" | replace "{index}" "$(POD_INDEX)" -}}
{{- end -}}

{{/* What Via, Contact and Record-Route show, with pod facts as $(…) of the container's environment. */}}
{{- define "carillon.advertise" -}}
{{- $exposure := .Values.edge.exposure -}}
{{- $address := .Values.edge.advertise.udp -}}
{{- if not $address -}}
  {{- if eq $exposure "cluster" -}}{{- $address = "podIP" -}}
  {{- else if eq $exposure "hostNetwork" -}}{{- $address = "hostIP" -}}
  {{- else if eq $exposure "nodePort" -}}
    {{- $address = printf "hostIP:%d" (int .Values.edge.services.udp.nodePort) -}}
  {{- else -}}
    {{- $address = required (printf "edge.advertise.udp is required with edge.exposure=%s: the address that phones see in Via, Contact and Record-Route (HOST[:PORT]). Without it ACK and BYE go to the pod's address and nowhere." $exposure) .Values.edge.advertise.udp -}}
  {{- end -}}
{{- end -}}
{{- $address | replace "podIP" "$(POD_IP)" | replace "hostIP" "$(HOST_IP)" | replace "{index}" "$(POD_INDEX)" -}}
{{- end -}}

{{- define "carillon.redisUrl" -}}
{{- if .Values.redis.deploy -}}
redis://{{ include "carillon.componentName" (list . "redis") }}:6379
{{- else -}}
{{ .Values.redis.url }}
{{- end -}}
{{- end -}}

{{- define "carillon.peers" -}}
{{- $peers := list -}}
{{- range $component, $role := dict "edge" "edge" "registrar" "registrar" "presence" "presence" "callcontrol" "call-control" -}}
{{- $peers = append $peers (printf "%s=dns://%s-grpc:%d" $role (include "carillon.componentName" (list $ $component)) (int $.Values.grpc.port)) -}}
{{- end -}}
{{- join "," $peers -}}
{{- end -}}
