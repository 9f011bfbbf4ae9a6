// Light, dark, or as the system has it. A new object at each change, so that charts know that colours are others.

const KEY = "cx-theme";
const NEXT = { auto: "dark", dark: "light", light: "auto" };

function apply(name) {
  document.documentElement.dataset.theme = name;
  return { name };
}

export function themeNow() {
  const name = localStorage.getItem(KEY) ?? "auto";
  return apply(name in NEXT ? name : "auto");
}

export function nextTheme({ name }) {
  localStorage.setItem(KEY, NEXT[name]);
  return apply(NEXT[name]);
}
