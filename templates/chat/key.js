// The API key of a server that wants one: comes in the address (#key=…) or from the user, kept in this tab.

const NAME = "bundle.key";
const SENDABLE = /^[\x21-\x7e]+$/;

let key = stored();
takeFromAddress();
window.addEventListener("hashchange", () => { if (takeFromAddress()) location.reload(); });

/** The headers that a request needs. */
export function headers() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Sends `given` from now on; false where it cannot be a key. */
export function use(given) {
  if (!SENDABLE.test(given)) return false;
  key = given;
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    return true; // a browser that refuses to store asks again after a reload
  }
  return true;
}

function stored() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

function takeFromAddress() {
  const { hash, pathname, search } = location;
  if (!hash.startsWith("#key=")) return false;
  history.replaceState(null, "", pathname + search);
  try {
    return use(decodeURIComponent(hash.slice("#key=".length)));
  } catch {
    return false;
  }
}
