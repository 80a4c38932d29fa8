// Colours, as the style sheet has them for the theme that is on; canvases need them by value.

const tones = 6;  // --tone-0 to --tone-5
const themes = ["auto", "light", "dark"];
const dark_system = matchMedia("(prefers-color-scheme: dark)");
const colors = new Map();  // of the theme that is on
let theme = "auto";

function color(name) {
  if (!colors.has(name)) colors.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return colors.get(name);
}

// How line number `tone` looks; null: what is no spot price. Beyond six the colours come again, dotted.
function line_style(tone) {
  if (tone === null) return {variable: "reference", dash: [7, 5], border: "dashed"};
  const again = tone >= tones;
  return {variable: `tone-${tone % tones}`, dash: again ? [2, 3] : [], border: again ? "dotted" : "solid"};
}

// Calls `changed` after each change, by the reader or by the system.
function start_theme(button, changed) {
  const apply = () => {
    const dark = theme === "dark" || theme === "auto" && dark_system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    colors.clear();
    button.textContent = {auto: "◐ Auto", light: "○ Light", dark: "● Dark"}[theme];
    button.setAttribute("aria-label", `Colours: ${theme}`);
    changed();
  };
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    apply();
  });
  dark_system.addEventListener("change", apply);
  apply();
}

// A piece of a line, for legends and tables; of any theme.
function swatch(style, width = 3) {
  const made = element("span", {class: "swatch", "aria-hidden": "true"});
  made.style.borderTop = `${width}px ${style.border} var(--${style.variable})`;
  return made;
}
