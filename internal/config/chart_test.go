package config

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// chartSchema is the schema of the Helm chart's values. All but its $defs, which come last, is written by hand.
const chartSchema = "../../deploy/helm/sluice/values.schema.json"

// The chart knows the settings that there are, and no others.
func TestChartKnowsEverySetting(t *testing.T) {
	have, err := os.ReadFile(chartSchema)
	if err != nil {
		t.Fatal(err)
	}
	byHand, _, found := bytes.Cut(have, []byte("\n  \"$defs\": "))
	if !found {
		t.Fatalf("%s has no $defs", chartSchema)
	}
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("  ", "  ")
	if err := encoder.Encode(chartDefinitions()); err != nil {
		t.Fatal(err)
	}
	want := string(byHand) + "\n  \"$defs\": " + made.String() + "}\n"
	if !json.Valid([]byte(want)) {
		t.Fatalf("%s is not JSON", chartSchema)
	}
	compareFile(t, chartSchema, want)
}

// object is a JSON object.
type object = map[string]any

// chartDefinitions are the schemas of what the chart's values have of settings, which are written as in the YAML file.
func chartDefinitions() object {
	settings, names := object{}, []string{}
	for _, k := range keys() {
		if k.name == detectorsKey {
			continue // the map of detectors says it
		}
		if !k.secret { // a config map is no place for one
			settings[yamlKey(k.name)] = settingSchema(k)
		}
		names = append(names, yamlKey(k.name))
	}
	detector, required := object{}, []string{}
	for _, k := range detectorKeys() {
		detector[yamlKey(k.name)] = settingSchema(k)
		if k.required {
			required = append(required, yamlKey(k.name))
		}
	}
	one := closed(detector)
	one["required"] = required
	settings["anomaly"] = closed(object{"detectors": object{
		"type":                 "object",
		"propertyNames":        object{"pattern": "^[a-z][a-z0-9_]{0,62}$"},
		"additionalProperties": one,
	}})
	return object{
		"settings":     closed(settings),
		"settingNames": object{"enum": names},
		"texts":        object{"type": "object", "additionalProperties": object{"type": "string"}},
		"objects":      object{"type": "array", "items": object{"type": "object"}},
	}
}

func closed(properties object) object {
	return object{"type": "object", "additionalProperties": false, "properties": properties}
}

// settingSchema says of a setting what kind of value it has. What else is wrong with one is told by the service.
func settingSchema[T any](k key[T]) object {
	schema := object{"description": k.doc}
	switch k.kind {
	case kindBool:
		schema["type"] = "boolean"
	case kindNumber:
		schema["type"] = []string{"number", "string"} // --set makes a text of what is not whole
		schema["pattern"] = "^[0-9]*[.]?[0-9]+(e-?[0-9]+)?$"
	case kindList:
		schema["type"] = []string{"string", "array"}
		schema["items"] = object{"type": "string"}
	default:
		schema["type"] = []string{"string", "number"} // sizes are also written as numbers
	}
	return schema
}
