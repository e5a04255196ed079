//! Hands the reader a file that was made on the page.

use leptos::prelude::{document, window};
use wasm_bindgen::JsCast;
use wasm_bindgen::JsValue;

/// Saves a text under a name; false when the browser refuses.
pub(crate) fn download(name: &str, kind: &str, text: &str) -> bool {
    let save = || -> Result<(), JsValue> {
        let options = web_sys::BlobPropertyBag::new();
        options.set_type(kind);
        let parts = js_sys::Array::of1(&JsValue::from_str(text));
        let blob = web_sys::Blob::new_with_str_sequence_and_options(&parts, &options)?;
        let url = web_sys::Url::create_object_url_with_blob(&blob)?;
        let link = document().create_element("a")?.dyn_into::<web_sys::HtmlElement>()?;
        link.set_attribute("href", &url)?;
        link.set_attribute("download", name)?;
        // The router takes clicks on links; this one is the browser's.
        link.set_attribute("rel", "external")?;
        link.click();
        let forget = wasm_bindgen::closure::Closure::once_into_js(move || {
            let _ = web_sys::Url::revoke_object_url(&url);
        });
        window().set_timeout_with_callback_and_timeout_and_arguments_0(forget.unchecked_ref(), 10_000)?;
        Ok(())
    };
    save().is_ok()
}
