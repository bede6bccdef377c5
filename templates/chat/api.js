// Talks to the server this page came from: the model and how far it is loaded, one streamed answer.

import * as key from "./key.js";

/** The server wants another key than the one it got, or any at all. */
export class KeyNeeded extends Error {}

/**
 * The model's name in the API; its status: {value: "loaded"}, {value: "unloaded"} until the next question, or
 * {value: "loading", progress, stage}; and what the page says in an empty chat: {greeting, starters}, either may be
 * missing.
 */
export async function model() {
  const response = await fetch("/v1/models", { cache: "no-store", headers: key.headers() });
  if (!response.ok) throw await failureOf(response);
  const [{ id, status, page }] = (await response.json()).data;
  return { name: id, status, page: page ?? {} };
}

/**
 * Streams one answer: `onText` gets each further piece, the result is why it ended ("stop", "length").
 * A model that is still loading is waited for. Throws an Error with words for people; an AbortError after `signal` was aborted.
 */
export async function answer(messages, onText, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...key.headers() },
    body: JSON.stringify({ model: "default", messages, stream: true }),
    signal,
  });
  if (!response.ok) throw await failureOf(response);
  let reason = null;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return reason;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    const [choice] = chunk.choices;
    if (choice?.delta.content) onText(choice.delta.content);
    reason = choice?.finish_reason ?? reason;
  }
  throw new Error("the connection ended before the answer did");
}

async function failureOf(response) {
  if (response.status === 401) return new KeyNeeded("the server wants its key");
  try {
    return new Error((await response.json()).error.message);
  } catch {
    return new Error(`the server answered with status ${response.status}`);
  }
}

/** The data of server-sent events, one string each. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    const parts = buffer.split("\n\n");
    buffer = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield part.slice("data: ".length);
    }
  }
}
