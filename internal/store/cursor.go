package store

import (
	"encoding/base64"
	"encoding/json"

	"symbi.dev/symbi/agent"
)

// NewCursor makes the place behind the item that has the given sort key, in
// the list of the given name.
func NewCursor(list string, key ...any) (Cursor, error) {
	b, err := json.Marshal(append([]any{list}, key...))
	if err != nil {
		return "", agent.Errorf(agent.ErrInvalid, "make a cursor: %w", err)
	}
	return Cursor(base64.RawURLEncoding.EncodeToString(b)), nil
}

// Read takes the sort key out of a cursor of the list of the given name.
// ErrInvalid when it was not made by NewCursor for that list.
func (c Cursor) Read(list string, key ...any) error {
	bad := &agent.Error{Kind: agent.ErrInvalid, Message: "the cursor is not one of this list; begin again without it"}
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil {
		return bad
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != len(key)+1 {
		return bad
	}
	var name string
	if err := json.Unmarshal(parts[0], &name); err != nil || name != list {
		return bad
	}
	for i, k := range key {
		if err := json.Unmarshal(parts[i+1], k); err != nil {
			return bad
		}
	}
	return nil
}

// Rows is how many items a page has: Limit within its bounds.
func (p Page) Rows() int {
	if p.Limit <= 0 {
		return DefaultLimit
	}
	return min(p.Limit, MaxLimit)
}
