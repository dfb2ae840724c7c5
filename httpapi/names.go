package httpapi

import "github.com/danielgtaylor/huma/v2"

// Names as they come in paths and queries: checked before anything is asked with them, for PostgreSQL takes neither NUL nor
// what is not UTF-8.
type (
	queueName    string
	kindName     string
	scheduleName string
	endpointName string
	tagName      string
	topicName    string
	patternName  string
)

// Schema is the rule of scheduler.ValidQueue.
func (queueName) Schema(huma.Registry) *huma.Schema {
	return nameSchema(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`, "1 to 128 letters, digits and _ . -, not starting with punctuation")
}

// Schema is the rule of scheduler.ValidKind.
func (kindName) Schema(huma.Registry) *huma.Schema {
	return nameSchema(`^[A-Za-z0-9_][A-Za-z0-9_.:/\\-]{0,127}$`, `1 to 128 letters, digits and _ . : / \ -, not starting with punctuation`)
}

// Schema is the rule of scheduler.NewSchedule.
func (scheduleName) Schema(huma.Registry) *huma.Schema {
	return nameSchema(`^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$`, "1 to 128 letters, digits and _ . : / - (a slash as %2F), not starting with punctuation")
}

// Schema is the rule of scheduler.NewEndpoint.
func (endpointName) Schema(r huma.Registry) *huma.Schema { return scheduleName("").Schema(r) }

// Schema is the rule of scheduler.ValidTag.
func (tagName) Schema(huma.Registry) *huma.Schema {
	return nameSchema(`^[A-Za-z0-9_.:/@=+-]{1,64}$`, "1 to 64 letters, digits and _ . - : / @ = +")
}

// Schema is the rule of scheduler.ValidTopic.
func (topicName) Schema(huma.Registry) *huma.Schema {
	most := 255
	schema := nameSchema(`^[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+)*$`, "1 to 255 letters, digits and _ : -, in words with dots between them")
	schema.MaxLength = &most
	return schema
}

const patternRule = "a topic of at most 255 bytes in which a word may be * (any one word) or # (any number of words, as %23)"

// Schema is the rule of scheduler.ValidPattern.
func (patternName) Schema(huma.Registry) *huma.Schema {
	most := 255
	schema := nameSchema(`^([A-Za-z0-9_:-]+|\*|#)(\.([A-Za-z0-9_:-]+|\*|#))*$`, patternRule)
	schema.MaxLength = &most
	return schema
}

func nameSchema(pattern, words string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: pattern, PatternDescription: words, Description: words}
}
