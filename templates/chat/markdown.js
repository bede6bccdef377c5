// Turns the Markdown that models write into DOM nodes: paragraphs, headings, lists, quotes, code, emphasis.
// Text only ever enters through textContent, so nothing a model writes can become markup of the page.

const FENCE = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^\s{0,3}(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;
const RULE = /^\s{0,3}([-*_])(?:\s*\1){2,}\s*$/;
const INLINE = /(`+)(.+?)\1(?!`)|\*\*(\S(?:.*?\S)?)\*\*|(?<![\w*])\*(\S(?:[^*]*?\S)?)\*(?!\w)/;

/** Nodes for a whole answer, also an unfinished one: an open code block runs to the end. */
export function render(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const [node, next] = block(lines, at);
    if (node) nodes.push(node);
    at = next;
  }
  return nodes;
}

function block(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  if (FENCE.test(line)) return fenced(lines, at);
  if (RULE.test(line)) return [document.createElement("hr"), at + 1];
  const heading = HEADING.exec(line);
  if (heading) return [inline(`h${Math.min(heading[1].length + 1, 4)}`, heading[2]), at + 1];
  if (ITEM.test(line)) return list(lines, at);
  if (line.startsWith(">")) return quote(lines, at);
  return paragraph(lines, at);
}

function fenced(lines, at) {
  const [, marks, language] = FENCE.exec(lines[at]);
  const rest = lines.slice(at + 1);
  const closed = rest.findIndex((line) => line.trim().startsWith(marks) && !line.trim().replaceAll(marks[0], ""));
  const code = closed < 0 ? rest : rest.slice(0, closed);
  return [codeBlock(code.join("\n"), language), at + 1 + code.length + (closed < 0 ? 0 : 1)];
}

function codeBlock(code, language) {
  const box = element("div", "block");
  const bar = element("div", "block-bar");
  const name = document.createElement("span");
  name.textContent = language;
  const copy = element("button", "act");
  copy.type = "button";
  copy.textContent = "Copy";
  copy.dataset.copies = "code";
  bar.append(name, copy);
  const pre = document.createElement("pre");
  pre.tabIndex = 0;
  const text = document.createElement("code");
  text.textContent = code;
  pre.append(text);
  box.append(bar, pre);
  return box;
}

function list(lines, at) {
  const ordered = ITEM.exec(lines[at])[2];
  const node = document.createElement(ordered ? "ol" : "ul");
  if (ordered) node.start = Number(ordered);
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || Boolean(item[2]) !== Boolean(ordered)) break;
    const text = [item[3]];
    at += 1;
    while (at < lines.length && /^\s+\S/.test(lines[at]) && !ITEM.test(lines[at])) text.push(lines[at++].trim());
    node.append(inline("li", text.join("\n")));
    if (at + 1 < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1])) at += 1;
  }
  return [node, at];
}

function quote(lines, at) {
  const text = [];
  while (at < lines.length && lines[at].startsWith(">")) text.push(lines[at++].replace(/^>\s?/, ""));
  return [inline("blockquote", text.join("\n")), at];
}

function paragraph(lines, at) {
  const text = [lines[at++]];
  while (at < lines.length && lines[at].trim() && !startsBlock(lines[at])) text.push(lines[at++]);
  return [inline("p", text.join("\n")), at];
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || RULE.test(line) || line.startsWith(">");
}

function inline(tag, text) {
  const node = document.createElement(tag);
  while (text) {
    const found = INLINE.exec(text);
    if (!found) break;
    node.append(text.slice(0, found.index));
    node.append(mark(found));
    text = text.slice(found.index + found[0].length);
  }
  node.append(text);
  return node;
}

function mark([, ticks, code, strong, emphasis]) {
  if (!ticks) return inline(strong === undefined ? "em" : "strong", strong ?? emphasis);
  const node = document.createElement("code");
  node.textContent = code.trim() || code;
  return node;
}

function element(tag, name) {
  const node = document.createElement(tag);
  node.className = name;
  return node;
}
