package httpapi

// Problem is an error as it is sent (RFC 9457, application/problem+json).
type Problem struct {
	Type      string   `json:"type" doc:"Where the code is explained."`
	Title     string   `json:"title" doc:"The code in words."`
	Status    int      `json:"status" doc:"The HTTP status."`
	Detail    string   `json:"detail" doc:"What happened this time, for people."`
	Code      Code     `json:"code" doc:"One word of a closed list, for programs."`
	Errors    []Detail `json:"errors,omitempty" doc:"What is wrong, part by part."`
	RequestID string   `json:"request_id" doc:"Also in the header X-Request-Id and in the server's log."`
	TaskID    string   `json:"task_id,omitempty" doc:"The task in the way."`
	State     string   `json:"state,omitempty" doc:"The state of the task in the way."`
}

// Error makes a Problem an error: its detail and code.
func (p *Problem) Error() string { return p.Detail + " (" + string(p.Code) + ")" }

// Detail is one fault of a request: exactly one of Pointer, Parameter and Header says where.
type Detail struct {
	Pointer   string `json:"pointer,omitempty" doc:"Into the body (RFC 6901), as /payload or /3/payload."`
	Parameter string `json:"parameter,omitempty" doc:"Of the path or the query."`
	Header    string `json:"header,omitempty"`
	Detail    string `json:"detail" doc:"The rule that is broken."`
}

// Code says what kind of problem it is.
type Code string
