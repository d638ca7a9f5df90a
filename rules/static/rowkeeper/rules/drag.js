// Moving a row with a mouse, a pen or a finger, by its grip. The list scrolls along; Escape cancels.

const EDGE = 60;

export function makeDraggable(grip, element, { may, dropped }) {
    grip.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || !may()) return;
        event.preventDefault();
        drag(event, grip, element, dropped);
    });
}

function drag(event, grip, element, dropped) {
    const list = element.parentElement;
    const before = [...list.children];
    element.classList.add("rk-dragged");
    grip.setPointerCapture(event.pointerId);

    function move({ clientY }) {
        if (clientY < EDGE) window.scrollBy(0, -12);
        else if (clientY > window.innerHeight - EDGE) window.scrollBy(0, 12);
        const others = [...list.children].filter((child) => child !== element && !child.hidden);
        const below = others.find((child) => {
            const { top, height } = child.getBoundingClientRect();
            return clientY < top + height / 2;
        }) ?? null;
        place(below);
    }

    // The others move, and not the row: taken out of the page it would lose the pointer.
    function place(below) {
        const all = [...list.children];
        const from = all.indexOf(element);
        const to = below ? all.indexOf(below) : all.length;
        if (to < from) element.after(...all.slice(to, from));
        else if (to > from + 1) element.before(...all.slice(from + 1, to));
    }

    function end(keep) {
        for (const [name, handler] of Object.entries(handlers)) grip.removeEventListener(name, handler);
        document.removeEventListener("keydown", escape, true);
        element.classList.remove("rk-dragged");
        const to = [...list.children].indexOf(element);
        list.replaceChildren(...before);
        if (keep && before[to] !== element) dropped(to);
    }

    function escape(pressed) {
        if (pressed.key !== "Escape") return;
        pressed.stopPropagation();
        end(false);
    }

    const handlers = { pointermove: move, pointerup: () => end(true), pointercancel: () => end(false) };
    for (const [name, handler] of Object.entries(handlers)) grip.addEventListener(name, handler);
    document.addEventListener("keydown", escape, true);
}
