package workflows

import (
	"go.temporal.io/sdk/temporal"

	"symbi.dev/symbi/workflows/api"
)

// Keys of the search attributes, typed as Temporal wants them.
var (
	keyState = temporal.NewSearchAttributeKeyKeyword(api.AttrState)
	keyTier  = temporal.NewSearchAttributeKeyKeyword(api.AttrTier)
	keyHolds = temporal.NewSearchAttributeKeyKeywordList(api.AttrHolds)
)
