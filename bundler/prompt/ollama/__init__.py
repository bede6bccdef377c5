"""How Ollama feeds a Go template: a conversation becomes Ollama's values, and the template runs the way it asks for.

`template` runs one, `turns` and `tools` make the values, `record` prints them as JSON, `functions` are what Ollama adds
to the language, `formats` reads facts off a template. Follows Ollama as of August 2026 (commit fb307609: template/,
api/types.go, thinking/, tools/); where it has a fault, what was meant, listed in docs/templates.md.
"""
