// Runs before anything is drawn: chooses the theme, then loads the page's wasm, or says plainly why it cannot.
(() => {
  const root = document.documentElement;
  const script = document.currentScript;
  const known = (theme) => (theme === "dark" || theme === "light" ? theme : null);
  let remembered = null;
  try {
    remembered = localStorage.getItem("hodoscope.theme");
  } catch {
    // storage may be forbidden; the system's theme is used then
  }
  root.dataset.theme =
    known(new URLSearchParams(location.search).get("theme")) ||
    known(remembered) ||
    (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");

  const fail = (why) => {
    const show = () => {
      const note = document.getElementById("cannot-run");
      if (!note) return;
      document.getElementById("cannot-run-why").textContent = String((why && why.message) || why);
      note.hidden = false;
    };
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", show);
    else show();
  };
  const start = () => {
    if (typeof WebAssembly !== "object") return fail("This browser has no WebAssembly, or it is switched off.");
    import(script.dataset.glue).then((glue) => glue.default({ module_or_path: script.dataset.wasm })).catch(fail);
  };
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
