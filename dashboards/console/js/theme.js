// Light, dark, or as the system has it.

const KEY = "cx-theme";
const NEXT = { auto: "dark", dark: "light", light: "auto" };
const NAMES = { auto: "Theme: as the system", dark: "Theme: dark", light: "Theme: light" };

export function themes(button, changed) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = NAMES[theme];
    changed();
  };
  let theme = localStorage.getItem(KEY) ?? "auto";
  if (!(theme in NEXT)) theme = "auto";
  apply(theme);
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    localStorage.setItem(KEY, theme);
    apply(theme);
  });
  system.addEventListener("change", changed);
}
