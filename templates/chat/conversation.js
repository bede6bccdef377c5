// The conversation: a list of {role, content}, kept in this tab until a new chat begins.

const KEY = "bundle.conversation";

/** What was kept; an empty conversation where there is nothing, or nothing readable. */
export function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isMessage) : [];
  } catch {
    return [];
  }
}

/** Keeps `messages`; a browser that refuses to store still chats. */
export function save(messages) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(messages));
  } catch {
    return;
  }
}

/** The messages as turns: what was said after a question that got no answer belongs to it. Templates want turns. */
export function turns(messages) {
  const taken = [];
  for (const { role, content } of messages) {
    const last = taken.at(-1);
    if (last?.role === role) last.content += `\n\n${content}`;
    else taken.push({ role, content });
  }
  return taken;
}

function isMessage(message) {
  return ["user", "assistant"].includes(message?.role) && typeof message.content === "string";
}
