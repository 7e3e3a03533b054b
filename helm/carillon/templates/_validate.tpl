{{/* Contradictions that a schema cannot see, each with what to do. */}}
{{- define "carillon.validate" -}}
{{- $edge := .Values.edge -}}
{{- $udp := include "carillon.advertise" . -}}
{{- if and $edge.advertise.tcp (ne $edge.advertise.tcp $edge.advertise.udp) -}}
{{- fail "edge.advertise.tcp differs from edge.advertise.udp: an edge shows one address for both. Give both Services one name in DNS." -}}
{{- end -}}
{{- if and $edge.webSocket.secure (not $edge.tls.existingSecret) -}}
{{- fail "edge.webSocket.secure needs a certificate: say edge.tls.existingSecret." -}}
{{- end -}}
{{- if and $edge.tls.caSecret (not $edge.tls.existingSecret) -}}
{{- fail "edge.tls.caSecret says whom to believe, and there is nothing to show: say edge.tls.existingSecret." -}}
{{- end -}}
{{- range .Values.sip.extraDomains -}}
{{- if and .tlsSecret (not $edge.tls.existingSecret) -}}
{{- fail (printf "sip.extraDomains: %s has a certificate, and SIP over TLS is not served: say edge.tls.existingSecret, for those that ask for no domain." .name) -}}
{{- end -}}
{{- end -}}
{{- if and $edge.internalTls.existingSecret (has (int $edge.internalTls.port) (list (int $edge.ports.udp) (int $edge.ports.tcp) (int $edge.ports.tls) (int $edge.ports.ws) (int $edge.ports.wss))) -}}
{{- fail "edge.internalTls.port is one of edge.ports: the edges reach each other at a port of its own, which no Service opens." -}}
{{- end -}}
{{- if and (contains "POD_INDEX" $udp) (ne $edge.exposure "perPod") -}}
{{- fail "edge.advertise.udp holds {index}, which only pods of edge.exposure=perPod have." -}}
{{- end -}}
{{- if and (eq $edge.exposure "perPod") (gt (int $edge.replicas) 1) (not (or (contains "$(" $udp))) -}}
{{- fail "edge.exposure=perPod with several replicas needs {index} in edge.advertise.udp, such as edge-{index}.sip.example.com: each edge has its own address." -}}
{{- end -}}
{{- if and (eq $edge.exposure "perPod") $edge.autoscaling.enabled -}}
{{- fail "edge.exposure=perPod has one load balancer for each pod: edge.autoscaling cannot be used with it." -}}
{{- end -}}
{{- if and (eq (include "carillon.edgeKind" .) "DaemonSet") $edge.autoscaling.enabled -}}
{{- fail "edge.autoscaling cannot scale a DaemonSet: set edge.kind=Deployment." -}}
{{- end -}}
{{- if and (ne $edge.exposure "hostNetwork") (eq $edge.kind "DaemonSet") (eq $edge.exposure "perPod") -}}
{{- fail "edge.exposure=perPod is a StatefulSet: leave edge.kind empty." -}}
{{- end -}}
{{- if and (ne (int $edge.ports.udp) (int $edge.ports.tcp)) $edge.services.mixedProtocol -}}
{{- fail "edge.services.mixedProtocol needs edge.ports.udp and edge.ports.tcp to be the same." -}}
{{- end -}}
{{- if and (eq $edge.exposure "nodePort") (not $edge.advertise.udp) (ne (int $edge.services.udp.nodePort) (int $edge.services.tcp.nodePort)) -}}
{{- fail "edge.services.udp.nodePort differs from edge.services.tcp.nodePort: an edge shows one port for both. Make them the same, or say edge.advertise.udp." -}}
{{- end -}}
{{- range prepend .Values.sip.extraDomains (dict "name" .Values.sip.domain "auth" .Values.sip.auth "dangerOpen" .Values.sip.dangerOpen) -}}
{{- if and (eq (default "digest" .auth) "none") (not .dangerOpen) -}}
{{- fail (printf "auth none for the domain %s lets anybody register and call: say dangerOpen: true if you mean it." .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.callcontrol.conference.user (not .Values.callcontrol.conference.mixers) -}}
{{- fail "callcontrol.conference.user wants a mixer: name one in callcontrol.conference.mixers." -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled (not .Values.skipCapabilityChecks) (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail "metrics.podMonitor.enabled, and the cluster has no monitoring.coreos.com/v1: install the Prometheus operator, or set skipCapabilityChecks." -}}
{{- end -}}
{{- range $component := list "edge" "registrar" "presence" "callcontrol" -}}
{{- $scaling := (index $.Values $component).autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.minReplicas is above maxReplicas." $component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
