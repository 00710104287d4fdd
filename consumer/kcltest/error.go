package kcltest

import (
	"encoding/json"
	"maps"
)

// apiError is an error as the services answer it: an HTTP status, the code the SDK turns into an error type, a message, and for a few codes
// further members of the body (CancellationReasons of a cancelled transaction, the Item of a failed condition).
type apiError struct {
	Status  int
	Code    string
	Message string
	Extra   map[string]any
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// body is the error in JSON, or empty where it has no code.
func (e *apiError) body() []byte {
	if e.Code == "" {
		return nil
	}
	members := map[string]any{"__type": e.Code, "message": e.Message}
	maps.Copy(members, e.Extra)
	text, err := json.Marshal(members)
	if err != nil {
		return []byte(`{"__type":"InternalFailure"}`)
	}
	return text
}
