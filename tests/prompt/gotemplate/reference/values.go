package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
)

// Types as Ollama's: structs in slices, maps, optional parts, and some that say themselves how they print.

type Message struct {
	Role      string
	Content   string
	Images    []Image
	ToolCalls []ToolCall
}

type ToolCall struct {
	ID       string
	Function Call
}

type Call struct {
	Index     int
	Name      string
	Arguments Arguments
}

type Tool struct {
	Type     string
	Items    any
	Required []string
}

type Image []byte

type Arguments map[string]any

func (a Arguments) String() string {
	b, _ := json.Marshal(map[string]any(a))
	return string(b)
}

func (t Tool) String() string {
	return "<" + t.Type + ">"
}

var types = map[string]reflect.Type{
	"main.Message":    reflect.TypeFor[Message](),
	"main.ToolCall":   reflect.TypeFor[ToolCall](),
	"main.Call":       reflect.TypeFor[Call](),
	"main.Tool":       reflect.TypeFor[Tool](),
	"main.Arguments":  reflect.TypeFor[Arguments](),
	"[]main.Message":  reflect.TypeFor[[]Message](),
	"[]main.ToolCall": reflect.TypeFor[[]ToolCall](),
	"[]main.Tool":     reflect.TypeFor[[]Tool](),
	"[]main.Image":    reflect.TypeFor[[]Image](),
	"main.Image":      reflect.TypeFor[Image](),
	"[]string":        reflect.TypeFor[[]string](),
	"[]int":           reflect.TypeFor[[]int](),
	"[]uint8":         reflect.TypeFor[[]uint8](),
}

// value reads a value. null, true, false and strings are themselves; everything else is an object with one key:
//
//	{"int": "1"} {"uint8": "1"} {"int32": "1"} {"float64": "1e5"} {"complex128": ["1", "2"]} {"bytes": HEX}
//	{"list": [VALUE, …]} {"map": {KEY: VALUE, …}}
//	{"typed": [TYPE, [VALUE, …]]} {"typed": [TYPE, {KEY: VALUE, …}]} {"typed": [TYPE, null]}
//
// where "bytes" is a string that need not be UTF-8, and "typed" a slice, a map or struct, or a nil one of a type above.
func value(raw json.RawMessage) any {
	var read any
	must(json.Unmarshal(raw, &read))
	return decode(read)
}

func decode(read any) any {
	tagged, ok := read.(map[string]any)
	if !ok {
		return read
	}
	for tag, of := range tagged {
		switch tag {
		case "int":
			n, err := strconv.ParseInt(of.(string), 10, 64)
			must(err)
			return int(n)
		case "uint8":
			n, err := strconv.ParseUint(of.(string), 10, 8)
			must(err)
			return uint8(n)
		case "int32":
			n, err := strconv.ParseInt(of.(string), 10, 32)
			must(err)
			return int32(n)
		case "float64":
			return float(of)
		case "complex128":
			return complex(float(of.([]any)[0]), float(of.([]any)[1]))
		case "bytes":
			b, err := hex.DecodeString(of.(string))
			must(err)
			return string(b)
		case "list":
			list := make([]any, 0)
			for _, item := range of.([]any) {
				list = append(list, decode(item))
			}
			return list[:len(list):len(list)]
		case "map":
			made := make(map[string]any)
			for key, item := range of.(map[string]any) {
				made[key] = decode(item)
			}
			return made
		case "typed":
			return typed(types[of.([]any)[0].(string)], of.([]any)[1]).Interface()
		}
	}
	must(fmt.Errorf("no such value: %v", read))
	return nil
}

func typed(t reflect.Type, of any) reflect.Value {
	made := reflect.New(t).Elem()
	switch read := of.(type) {
	case []any:
		made.Set(reflect.MakeSlice(t, len(read), len(read)))
		for i, item := range read {
			set(made.Index(i), decode(item))
		}
	case map[string]any:
		if t.Kind() == reflect.Map {
			made.Set(reflect.MakeMap(t))
		}
		for key, item := range read {
			if t.Kind() == reflect.Struct {
				set(made.FieldByName(key), decode(item))
			} else {
				element := reflect.New(t.Elem()).Elem()
				set(element, decode(item))
				made.SetMapIndex(reflect.ValueOf(key), element)
			}
		}
	}
	return made
}

func set(place reflect.Value, item any) {
	if item != nil {
		place.Set(reflect.ValueOf(item))
	}
}

func float(of any) float64 {
	f, err := strconv.ParseFloat(of.(string), 64)
	must(err)
	return f
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bad request:", err)
		os.Exit(1)
	}
}
