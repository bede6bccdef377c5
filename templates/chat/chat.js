// The chat page: draws the conversation, sends what is typed, shows the answer as it comes.

import { answer, KeyNeeded, model } from "./api.js";
import * as conversation from "./conversation.js";
import * as key from "./key.js";
import { render } from "./markdown.js";

const POLL_MILLISECONDS = 300;
const NEAR_BOTTOM = 60;

const $ = (id) => document.getElementById(id);
const page = {
  scroll: $("scroll"), messages: $("messages"), welcome: $("welcome"), loading: $("loading"), form: $("form"),
  input: $("input"), send: $("send"), stop: $("stop"), down: $("down"),
};

let messages = conversation.load();
let ready = false;
let running = null;

function show() {
  page.messages.replaceChildren(...messages.map(messageNode));
  update();
  toBottom();
}

function update() {
  const empty = messages.length === 0;
  page.loading.hidden = ready;
  page.welcome.hidden = !ready || !empty;
  page.send.disabled = page.input.value.trim() === "";
  page.send.hidden = Boolean(running);
  page.stop.hidden = !running;
}

function messageNode({ role, content }) {
  const node = document.createElement("article");
  node.className = `message ${role}`;
  node.dataset.role = role;
  node.setAttribute("aria-label", role === "user" ? "You" : "Answer");
  if (role === "user") node.textContent = content;
  else node.replaceChildren(...render(content));
  return node;
}

async function ask(text) {
  messages.push({ role: "user", content: text });
  page.messages.append(messageNode(messages.at(-1)));
  await respond();
}

/** Answers the conversation as it stands; what has come by then is kept when it is stopped or fails. */
async function respond() {
  const mine = { controller: new AbortController(), text: "" };
  running = mine;
  conversation.save(messages);
  const asked = conversation.turns(messages);
  const node = messageNode({ role: "assistant", content: "" });
  node.classList.add("waiting");
  node.setAttribute("aria-busy", "true");
  page.messages.append(node);
  update();
  toBottom();
  let note = null;
  try {
    const reason = await answer(asked, (piece) => draw(mine, node, piece), mine.controller.signal);
    if (reason === "length") note = noteNode("The answer ended here because the context is full or its longest length was reached.");
  } catch (error) {
    if (error instanceof KeyNeeded) note = keyNode(askAgain);
    else note = error.name === "AbortError" ? noteNode("Stopped.") : failureNode(`No answer: ${error.message}`, askAgain);
  }
  if (running !== mine) return;
  running = null;
  finish(mine, node, note);
}

/** Redraws at most once a frame, however fast the pieces come. */
function draw(mine, node, piece) {
  mine.text += piece;
  if (mine.frame) return;
  mine.frame = requestAnimationFrame(() => {
    mine.frame = 0;
    const follow = nearBottom();
    node.classList.remove("waiting");
    node.replaceChildren(...render(mine.text));
    if (follow) toBottom();
  });
}

function finish(mine, node, note) {
  cancelAnimationFrame(mine.frame ?? 0);
  const follow = nearBottom();
  node.classList.remove("waiting");
  node.removeAttribute("aria-busy");
  if (mine.text) {
    messages.push({ role: "assistant", content: mine.text });
    node.replaceChildren(...render(mine.text));
  } else {
    node.remove();
  }
  if (note) page.messages.append(note);
  conversation.save(messages);
  update();
  if (follow) toBottom();
}

function noteNode(text) {
  const node = document.createElement("p");
  node.className = "note";
  node.textContent = text;
  return node;
}

function askAgain() {
  if (running) return;
  if (messages.at(-1)?.role === "assistant") messages.pop();
  show();
  respond();
}

function failureNode(text, again) {
  const node = document.createElement("div");
  node.className = "failure";
  node.setAttribute("role", "alert");
  const words = document.createElement("p");
  words.textContent = text;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "act";
  button.textContent = "Try again";
  button.addEventListener("click", again);
  node.append(words, button);
  return node;
}

/** A field for the key; `again` is called when there is one to try. */
function keyNode(again) {
  const node = document.createElement("form");
  node.className = "key";
  const label = document.createElement("label");
  label.textContent = "This server wants its key:";
  const input = document.createElement("input");
  input.type = "password";
  input.autocomplete = "off";
  label.append(input);
  const button = document.createElement("button");
  button.type = "submit";
  button.className = "quiet";
  button.textContent = "Use this key";
  node.append(label, button);
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!key.use(input.value.trim())) return;
    node.remove();
    again();
  });
  return node;
}

function submit() {
  const text = page.input.value.trim();
  if (!text || running) return;
  page.input.value = "";
  fitInput();
  ask(text);
}

function fitInput() {
  page.input.style.height = "auto";
  page.input.style.height = `${page.input.scrollHeight}px`;
  update();
}

function nearBottom() {
  const { scrollTop, clientHeight, scrollHeight } = page.scroll;
  return scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM;
}

function toBottom() {
  page.scroll.scrollTop = page.scroll.scrollHeight;
}

function startAnew() {
  running?.controller.abort();
  running = null;
  messages = [];
  conversation.save(messages);
  show();
  page.input.focus();
}

async function copy(button) {
  const text = button.closest(".block").querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

/** Names the model, and waits for it, telling how far it is. */
async function meetModel() {
  for (;;) {
    const { name, status, page: said } = await model();
    call(name);
    if (status.value !== "loading") {
      welcome(said);
      break;
    }
    $("loading-stage").textContent = status.stage;
    $("loading-progress").value = status.progress;
    update();
    await new Promise((resolve) => { setTimeout(resolve, POLL_MILLISECONDS); });
  }
  ready = true;
  update();
}

async function greet() {
  try {
    await meetModel();
  } catch (error) {
    page.loading.hidden = true;
    const failure = () => failureNode(`The server does not answer: ${error.message}`, () => location.reload());
    page.messages.append(error instanceof KeyNeeded ? keyNode(greet) : failure());
  }
}

/** Says in an empty chat what the maker of the bundle wrote; without that the page's own words stay. */
function welcome({ greeting, starters = [] }) {
  if (greeting) $("greeting").textContent = greeting;
  $("starters").replaceChildren(...starters.map(starterNode));
  $("starters").hidden = starters.length === 0;
}

function starterNode(question) {
  const node = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "starter";
  button.textContent = question;
  button.addEventListener("click", () => start(question));
  node.append(button);
  return node;
}

function start(question) {
  if (running) return;
  if (matchMedia("(hover: hover)").matches) page.input.focus(); // the button goes; a touch screen's keyboard stays down
  ask(question);
}

function call(name) {
  document.title = `${name} · Chat`;
  $("model").textContent = name;
  $("welcome-name").textContent = name;
  page.input.placeholder = `Message ${name}`;
}

page.form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
page.input.addEventListener("input", fitInput);
page.input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
page.stop.addEventListener("click", () => running?.controller.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.controller.abort();
});
$("new").addEventListener("click", startAnew);
page.scroll.addEventListener("scroll", () => { page.down.hidden = nearBottom(); });
page.down.addEventListener("click", toBottom);
page.messages.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copies]");
  if (button) copy(button);
});

messages.forEach((message) => page.messages.append(messageNode(message)));
toBottom();
greet();
