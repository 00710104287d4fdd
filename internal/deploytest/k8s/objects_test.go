package k8s

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// objects are those of one installation, by kind; there is at most one of each.
type objects map[string]metav1.Object

// kinds are those that we know, with their types.
var kinds = map[string]func() metav1.Object{
	"v1 ConfigMap":                        func() metav1.Object { return new(corev1.ConfigMap) },
	"v1 Service":                          func() metav1.Object { return new(corev1.Service) },
	"v1 ServiceAccount":                   func() metav1.Object { return new(corev1.ServiceAccount) },
	"apps/v1 Deployment":                  func() metav1.Object { return new(appsv1.Deployment) },
	"policy/v1 PodDisruptionBudget":       func() metav1.Object { return new(policyv1.PodDisruptionBudget) },
	"networking.k8s.io/v1 NetworkPolicy":  func() metav1.Object { return new(networkingv1.NetworkPolicy) },
	"monitoring.coreos.com/v1 PodMonitor": func() metav1.Object { return new(monitoringv1.PodMonitor) },
	"keda.sh/v1alpha1 ScaledObject":       func() metav1.Object { return new(scaledObject) },
}

// scaledObject is KEDA's, as https://keda.sh/docs/latest/reference/scaledobject-spec/ describes it: its own package of types drags in a
// controller and the clients of fifty services.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ScaleTargetRef struct {
			APIVersion             string `json:"apiVersion"`
			Kind                   string `json:"kind"`
			Name                   string `json:"name"`
			EnvSourceContainerName string `json:"envSourceContainerName"`
		} `json:"scaleTargetRef"`
		PollingInterval       *int32 `json:"pollingInterval"`
		CooldownPeriod        *int32 `json:"cooldownPeriod"`
		InitialCooldownPeriod *int32 `json:"initialCooldownPeriod"`
		IdleReplicaCount      *int32 `json:"idleReplicaCount"`
		MinReplicaCount       *int32 `json:"minReplicaCount"`
		MaxReplicaCount       *int32 `json:"maxReplicaCount"`
		Fallback              *struct {
			FailureThreshold int32  `json:"failureThreshold"`
			Replicas         int32  `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Advanced struct {
			RestoreToOriginalReplicaCount bool `json:"restoreToOriginalReplicaCount"`
			HorizontalPodAutoscalerConfig struct {
				Name     string                                         `json:"name"`
				Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type              string            `json:"type"`
			Name              string            `json:"name"`
			MetricType        string            `json:"metricType"`
			UseCachedMetrics  bool              `json:"useCachedMetrics"`
			Metadata          map[string]string `json:"metadata"` // texts, also of numbers and booleans
			AuthenticationRef *struct {
				Name string `json:"name"`
				Kind string `json:"kind"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}

// ofPrometheus are what KEDA's trigger of that name knows (https://keda.sh/docs/latest/scalers/prometheus/); another name would be passed over.
var ofPrometheus = []string{"serverAddress", "query", "queryParameters", "threshold", "activationThreshold", "namespace", "customHeaders",
	"ignoreNullValues", "unsafeSsl", "timeout", "authModes"}

// decode reads documents of YAML as the API server does with strict validation: no field that does not exist, none twice, and names and
// labels that are allowed.
func decode(text string) (objects, error) {
	found := objects{}
	for document := range strings.SplitSeq("\n"+text, "\n---") {
		content, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			return nil, err
		}
		if string(content) == "null" {
			continue
		}
		var meta metav1.TypeMeta
		if err := kjson.UnmarshalCaseSensitivePreserveInts(content, &meta); err != nil {
			return nil, err
		}
		made, known := kinds[meta.APIVersion+" "+meta.Kind]
		if !known {
			return nil, fmt.Errorf("an object of the unknown kind %s %s", meta.APIVersion, meta.Kind)
		}
		if found[meta.Kind] != nil {
			return nil, fmt.Errorf("two objects of the kind %s", meta.Kind)
		}
		o := made()
		strict, err := kjson.UnmarshalStrict(content, o)
		if err = errors.Join(append(strict, err)...); err != nil {
			return nil, fmt.Errorf("%s: %w", meta.Kind, err)
		}
		if err := check(o); err != nil {
			return nil, fmt.Errorf("%s: %w", meta.Kind, err)
		}
		found[meta.Kind] = o
	}
	return found, nil
}

// check finds in an object what its type cannot say.
func check(o metav1.Object) error {
	faults := validation.ValidateLabels(o.GetLabels(), field.NewPath("metadata", "labels"))
	switch o := o.(type) {
	case *appsv1.Deployment:
		faults = append(faults, validation.ValidateLabels(o.Spec.Template.Labels, field.NewPath("spec", "template", "labels"))...)
	case *scaledObject:
		for _, trigger := range o.Spec.Triggers {
			for name := range maps.Keys(trigger.Metadata) {
				if trigger.Type == "prometheus" && !slices.Contains(ofPrometheus, name) {
					return fmt.Errorf("unknown field %q of the trigger's metadata", name)
				}
			}
		}
	}
	return faults.ToAggregate()
}

// get is the object of a type.
func get[T metav1.Object](t *testing.T, from objects) (found T) {
	t.Helper()
	for _, o := range from {
		if o, ok := o.(T); ok {
			return o
		}
	}
	t.Fatalf("there is no %T", found)
	return found
}
