// What the page says, in the language that was chosen. Numbers and times follow it (format.js).

import { en } from "./messages/en.js";
import { ja } from "./messages/ja.js";

export const LANGUAGES = { en: { name: "English", messages: en }, ja: { name: "日本語", messages: ja } };
const KEY = "cx-language";
let language = "en";

/** Of the address, else as it was chosen last, else as the browser has it. */
export function wanted(given) {
  const asked = [given, localStorage.getItem(KEY), ...navigator.languages.map((one) => one.slice(0, 2))];
  return asked.find((one) => one && Object.hasOwn(LANGUAGES, one)) ?? "en";
}

export function speak(next, isChosen = false) {
  language = Object.hasOwn(LANGUAGES, next) ? next : "en";
  document.documentElement.lang = language;
  if (isChosen) localStorage.setItem(KEY, language);
}

/** What texts made once depend on besides their values: language and zone. */
export const lookOf = ({ zone }) => `${language} ${zone}`;

export const spoken = () => language;

/** The text of a name, with what stands in braces put in. */
export function t(name, values = {}) {
  const text = LANGUAGES[language].messages[name] ?? en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

/** The text of a name that may have none: of funnels and rules that a shop has named itself. */
export const known = (name) => LANGUAGES[language].messages[name] ?? en[name] ?? null;
