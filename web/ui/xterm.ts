// xterm.js, a bundle of its own that is loaded with the first terminal.
//
// It makes style elements and style attributes, which the page's Content-Security-Policy
// forbids, even empty ones. What it has in them goes through the CSSOM here, which the
// policy allows: a style sheet for each element, and an element's own declarations.
import "../vendor/@xterm/xterm/xterm.css";

const createElement = document.createElement;
document.createElement = function (this: Document, name: string, options?: ElementCreationOptions) {
  return name === "style" ? styles() : createElement.call(this, name, options);
} as typeof createElement;

function styles(): HTMLElement {
  const sheet = new CSSStyleSheet(), element = createElement.call(document, "x-style");
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, "textContent", { set: (text: string) => sheet.replaceSync(text) });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
HTMLSpanElement.prototype.setAttribute = function (name: string, value: string) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
};

export { Terminal } from "@xterm/xterm";
export { FitAddon } from "@xterm/addon-fit";
