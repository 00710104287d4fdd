// Package k8s holds the Helm chart and the kustomize base to what Kubernetes, Helm and the service itself say of them: the chart is linted and
// rendered by Helm's own packages, the base is built by kustomize's, kubeconform validates what the chart makes, and every object is decoded as the API server decodes it, so that a
// field that does not exist is an error. No cluster is asked.
//
// It is a module of its own, because those packages are heavy:
//
//	cd internal/deploytest/k8s && GOWORK=off go test ./...
package k8s
