package kcltest

// apiError is an error as the services answer it: an HTTP status, the code the SDK turns into an error type, a message, and for a few codes
// further members of the body (CancellationReasons of a cancelled transaction, the Item of a failed condition).
type apiError struct {
	Status  int
	Code    string
	Message string
	Extra   map[string]any
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }
