// Command reference answers with what Go itself makes of a template or of a call, one JSON line for each line read.
//
// A line is {"template": TEXT, "data": VALUE} or {"call": NAME, "operands": [VALUE, …]}, where NAME is print, println,
// printf, json, html, js or urlquery; values are spelled as values.go says. An answer is {"output": BASE64} or
// {"error": TEXT}. Standard library only.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/template"
)

type request struct {
	Template *string           `json:"template"`
	Data     json.RawMessage   `json:"data"`
	Call     string            `json:"call"`
	Operands []json.RawMessage `json:"operands"`
}

type answer struct {
	Output []byte `json:"output"`
	Error  string `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		if err := encoder.Encode(answerTo(line)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	out.Flush()
}

func answerTo(line []byte) answer {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		fmt.Fprintln(os.Stderr, "bad request:", err)
		os.Exit(1)
	}
	var output []byte
	var err error
	if asked.Template != nil {
		output, err = execute(*asked.Template, value(asked.Data))
	} else {
		operands := make([]any, len(asked.Operands))
		for i, operand := range asked.Operands {
			operands[i] = value(operand)
		}
		output, err = call(asked.Call, operands)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Output: output}
}

var functions = template.FuncMap{
	"json": func(v any) string {
		b, _ := json.Marshal(v)
		return string(b)
	},
}

func execute(text string, data any) ([]byte, error) {
	parsed, err := template.New("TEMPLATE").Funcs(functions).Parse(text)
	if err != nil {
		return nil, err
	}
	var out limited
	err = parsed.Execute(&out, data)
	return out.Bytes(), err
}

// limited refuses to hold more than a megabyte.
type limited struct{ bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > 1<<20 {
		return 0, errors.New("output too long")
	}
	return l.Buffer.Write(b)
}

func call(name string, operands []any) ([]byte, error) {
	switch name {
	case "print":
		return fmt.Append(nil, operands...), nil
	case "println":
		return fmt.Appendln(nil, operands...), nil
	case "printf":
		return fmt.Appendf(nil, operands[0].(string), operands[1:]...), nil
	case "json":
		return json.Marshal(operands[0])
	case "html":
		return []byte(template.HTMLEscaper(operands...)), nil
	case "js":
		return []byte(template.JSEscaper(operands...)), nil
	case "urlquery":
		return []byte(template.URLQueryEscaper(operands...)), nil
	}
	return nil, errors.New("no such call")
}
