// Runs before anything is drawn: chooses the theme, then loads the program for this address, or says plainly why it
// cannot. The page is three programs (ui/src/lib.rs), so that a first visit loads a part of it; each is glue and wasm.
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

  const programOf = (path) => {
    const first = path.split("/")[1];
    if (first === "") return "desk";
    const shows = (pages) => pages.split(" ").includes(first);
    return shows(script.dataset.deskPages) ? "desk" : shows(script.dataset.watchPages) ? "watch" : "trail";
  };
  const program = programOf(location.pathname);
  // A link to a page of another program is a load, before the router sees it.
  addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    const is_plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !is_plain || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (programOf(link.pathname) === program) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    location.assign(link.href);
  }, true);
  const [glue, wasm] = script.dataset[program].split(" ");
  root.dataset.program = program;
  const want = (rel, href, as) => {
    const link = document.createElement("link");
    link.rel = rel;
    link.href = href;
    if (as) {
      link.as = as;
      link.crossOrigin = "";
    }
    document.head.append(link);
  };
  want("preload", wasm, "fetch");
  want("modulepreload", glue);
  // A stylesheet that a script adds does not hold back the first paint: the frame is drawn by what index.html carries. The
  // program waits for it, so that nothing is ever shown without its style.
  const styled = new Promise((done) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = script.dataset.style;
    link.onload = link.onerror = done;
    document.head.append(link);
  });
  // The other programs are fetched once this one is at rest, so that changing over is quick.
  addEventListener("load", () => setTimeout(() => {
    for (const other of ["desk", "trail", "watch"]) {
      if (other !== program) for (const file of script.dataset[other].split(" ")) want("prefetch", file, "fetch");
    }
  }, 4000));

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
  if (typeof WebAssembly !== "object") return fail("This browser has no WebAssembly, or it is switched off.");
  // The frame is painted before the program takes the thread: out of a warm cache it would be there sooner than the first paint,
  // and hold it back. A page in the background has no frames, and a browser may leave one out.
  const drawn = new Promise((done) => {
    const next = () => {
      if (document.hidden) return done();
      requestAnimationFrame(() => setTimeout(done));
      setTimeout(done, 150);
    };
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", next);
    else next();
  });
  Promise.all([import(glue), styled, drawn]).then(([module]) => module.default({ module_or_path: wasm })).catch(fail);
})();
