// Package envserver is a client of the environment server. scripts/generate-client generates all of it except this
// file from the server's OpenAPI document.
package envserver

import "encoding/json"

// Value is an element of a space: a float64 or bool, a []any of Values, or for a Dict space a map[string]any.
type Value = any

// Array is a batch of rewards, flags or actions: a number, or nested slices of numbers.
type Array = any

// Action is an integer, or a slice of integers if the action space has several components.
type Action = any

// Seed is an integer, or for a vector environment also a slice with one for each lane.
type Seed = any

// Space is a Gymnasium space, by "type": Discrete, Box, MultiDiscrete, MultiBinary, Tuple, Dict.
type Space = map[string]any

// Parameter is an argument of a spec: "name", "type", its range, "default".
type Parameter = map[string]any

// NullableSeed is a Seed that may be left out.
type NullableSeed = nullable[Seed]

// NullableArray is an Array that may be left out.
type NullableArray = nullable[Array]

// NullableAction is an Action that may be left out.
type NullableAction = nullable[Action]

// nullable has the methods that the generator gives such types.
type nullable[T any] struct {
	value *T
	isSet bool
}

func (v nullable[T]) Get() *T { return v.value }

func (v *nullable[T]) Set(value *T) { v.value, v.isSet = value, true }

func (v nullable[T]) IsSet() bool { return v.isSet }

func (v *nullable[T]) Unset() { v.value, v.isSet = nil, false }

func (v nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(v.value) }

func (v *nullable[T]) UnmarshalJSON(data []byte) error {
	v.isSet = true
	return json.Unmarshal(data, &v.value)
}
