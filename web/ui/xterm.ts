// xterm.js, a bundle of its own that is loaded with the first terminal.
//
// It makes style elements and style attributes, which the page's Content-Security-Policy
// forbids. What it has in them goes through the CSSOM here, which the policy allows: a
// style sheet for each element, and an element's own declarations.
import "../vendor/@xterm/xterm/xterm.css";

const sheets = new WeakMap<HTMLStyleElement, CSSStyleSheet>();
Object.defineProperty(HTMLStyleElement.prototype, "textContent", {
  set(this: HTMLStyleElement, text: string) {
    let sheet = sheets.get(this);
    if (!sheet) { sheets.set(this, (sheet = new CSSStyleSheet())); document.adoptedStyleSheets.push(sheet); }
    sheet.replaceSync(text);
  },
});
HTMLStyleElement.prototype.remove = function () {
  document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheets.get(this));
  Element.prototype.remove.call(this);
};
HTMLSpanElement.prototype.setAttribute = function (name: string, value: string) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
};

export { Terminal } from "@xterm/xterm";
export { FitAddon } from "@xterm/addon-fit";
