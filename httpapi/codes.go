package httpapi

import "net/http"

// Code says what kind of problem it is. The list is closed; docs/problems.md explains each.
type Code string

// The codes. A program decides by these, never by title or detail.
const (
	CodeMalformedJSON        Code = "malformed_json"         // the body is not JSON, or JSON that can't be stored
	CodeBadCursor            Code = "bad_cursor"             // not a next_cursor of this list
	CodeCursorExpired        Code = "cursor_expired"         // messages after the cursor are not kept any more; data of an event
	CodeUnauthorized         Code = "unauthorized"           // no token, or a wrong one
	CodeForbidden            Code = "forbidden"              // a page of another origin sent it
	CodeNotFound             Code = "not_found"              // no such path, task, worker or schedule
	CodeWatchNotFound        Code = "watch_not_found"        // a watch URL that shows nothing, or nothing more
	CodeMethodNotAllowed     Code = "method_not_allowed"     // the path exists, with other methods
	CodeRequestTimeout       Code = "request_timeout"        // the body came too slowly
	CodeStateConflict        Code = "state_conflict"         // the task's state does not allow it
	CodeLeaseLost            Code = "lease_lost"             // the attempt is over, by anybody else's doing
	CodeUniqueConflict       Code = "unique_conflict"        // another task holds the unique key
	CodePreconditionFailed   Code = "precondition_failed"    // the task is no more what If-Match says
	CodePayloadTooLarge      Code = "payload_too_large"      // the body is too large
	CodeUnsupportedMediaType Code = "unsupported_media_type" // the body is no JSON by its own account
	CodeMisdirected          Code = "misdirected"            // the Host is not this server
	CodeUpgradeRequired      Code = "upgrade_required"       // the path speaks WebSocket
	CodeValidationFailed     Code = "validation_failed"      // a field or parameter breaks its rule
	CodeKeyReused            Code = "idempotency_key_reused" // the key came before with another request
	CodeBadCron              Code = "bad_cron"               // the cron expression or its zone can't be used
	CodeInternal             Code = "internal"               // a bug
	CodeDatabaseUnavailable  Code = "database_unavailable"   // the database can't be reached, or can't serve now
	CodeSchemaMismatch       Code = "schema_mismatch"        // the database's schema is not this binary's
	CodeTimeout              Code = "timeout"                // the database took too long
)

var codes = map[Code]struct {
	status int
	title  string
}{
	CodeMalformedJSON:        {http.StatusBadRequest, "The body is not JSON that can be stored"},
	CodeBadCursor:            {http.StatusBadRequest, "The cursor is not one of this list"},
	CodeCursorExpired:        {http.StatusGone, "Messages are missing"},
	CodeUnauthorized:         {http.StatusUnauthorized, "A token is needed"},
	CodeForbidden:            {http.StatusForbidden, "Requests from other origins are refused"},
	CodeNotFound:             {http.StatusNotFound, "There is no such thing"},
	CodeWatchNotFound:        {http.StatusNotFound, "The link shows nothing"},
	CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, "The path does not know the method"},
	CodeRequestTimeout:       {http.StatusRequestTimeout, "The body came too slowly"},
	CodeStateConflict:        {http.StatusConflict, "The task's state does not allow it"},
	CodeLeaseLost:            {http.StatusConflict, "The lease is lost"},
	CodeUniqueConflict:       {http.StatusConflict, "Another task holds the unique key"},
	CodePreconditionFailed:   {http.StatusPreconditionFailed, "The task changed since it was read"},
	CodePayloadTooLarge:      {http.StatusRequestEntityTooLarge, "The body is too large"},
	CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, "The body must be JSON"},
	CodeMisdirected:          {http.StatusMisdirectedRequest, "The host is not this server"},
	CodeUpgradeRequired:      {http.StatusUpgradeRequired, "The path speaks WebSocket"},
	CodeValidationFailed:     {http.StatusUnprocessableEntity, "The request breaks a rule"},
	CodeKeyReused:            {http.StatusUnprocessableEntity, "The idempotency key was used for another request"},
	CodeBadCron:              {http.StatusUnprocessableEntity, "The cron expression can't be used"},
	CodeInternal:             {http.StatusInternalServerError, "A bug of the server"},
	CodeDatabaseUnavailable:  {http.StatusServiceUnavailable, "The database is not available"},
	CodeSchemaMismatch:       {http.StatusServiceUnavailable, "The database's schema does not fit"},
	CodeTimeout:              {http.StatusGatewayTimeout, "The database took too long"},
}
