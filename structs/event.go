package structs

// UserEvent is a user event as Consul's clients know it. It travels as JSON in a live message of EventTopic.
type UserEvent struct {
	ID            string
	Name          string
	Payload       []byte // base64 in JSON; null = none
	NodeFilter    string // a regular expression of node names; "" = every node
	ServiceFilter string
	TagFilter     string
	Version       int
	LTime         uint64 // grows from event to event at one agent
}

// EventTopic carries user events, in the default namespace.
const EventTopic = "_event"

// Bounds of user events.
const (
	EventNameBytesMax    = 256
	EventPayloadBytesMax = 64 << 10
)
