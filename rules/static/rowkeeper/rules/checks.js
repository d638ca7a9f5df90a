// What the server says of the rules as they are on the page: words, who gets in, problems. Asked
// again after each change, once no other has followed for a moment.

const PAUSE = 300;

export class Checks {
    constructor(address, dataSource, columns, form, ontold) {
        Object.assign(this, { address, dataSource, columns, form, ontold });
        this.timer = 0;
        this.asked = null;
    }

    soon(text) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.ask(text), PAUSE);
    }

    async ask(text) {
        clearTimeout(this.timer);
        this.asked?.abort();
        const asked = (this.asked = new AbortController());
        try {
            const answer = await this.post(text, asked.signal);
            if (asked === this.asked) this.ontold(answer, text);
        } catch (error) {
            if (error.name !== "AbortError" && asked === this.asked) this.ontold(null, text);
        }
    }

    async post(text, signal) {
        const token = this.form?.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
        const answer = await fetch(this.address, {
            method: "POST", signal, credentials: "same-origin",
            headers: { "Content-Type": "application/json", "X-CSRFToken": token, Accept: "application/json" },
            body: JSON.stringify({ dataSource: this.dataSource, columns: this.columns(), rules: text }),
        });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        return answer.json();
    }
}
