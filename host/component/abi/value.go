package abi

import "github.com/appserver-go/appserver/host/component/types"

// Variant is a value of a variant, enum, option or result. Value is nil where the case carries nothing.
type Variant struct {
	Case  uint32
	Value any
}

// None is the option that is missing.
var None any = Variant{}

// Some is an option that is there.
func Some(v any) any { return Variant{1, v} }

// OK is a result; v is nil where it carries nothing.
func OK(v any) any { return Variant{0, v} }

// Err is the result of an error.
func Err(v any) any { return Variant{1, v} }

// Enum is a value of an enum, or of a variant's case that carries nothing.
func Enum(n uint32) any { return Variant{Case: n} }

// Guest is a handle of a resource that a guest implements, while it is between two components or the host's.
type Guest struct {
	Type *types.Resource
	Rep  uint32
}
