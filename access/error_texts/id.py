"""Texts of errors in Indonesian."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "Permintaan tidak dapat dilayani.",
    "The request is not valid.": "Permintaan tidak valid.",
    "The request is larger than allowed.": "Permintaan lebih besar dari yang diizinkan.",
    "You belong to several tenants; say which.": "Anda tergabung dalam beberapa organisasi; sebutkan yang mana.",
    "A code of your second factor is needed.": "Diperlukan kode dari faktor kedua Anda.",
    "Too many failed attempts.": "Terlalu banyak percobaan yang gagal.",
    "The conversation is longer than the context window of the model.": (
        "Percakapan lebih panjang daripada jendela konteks model."
    ),
    "This is not supported.": "Ini tidak didukung.",
    "The model's service does not accept this request.": "Layanan model tidak menerima permintaan ini.",
    "The request contains content that is not allowed.": "Permintaan memuat konten yang tidak diizinkan.",
    "A valid API key or token is required.": "Diperlukan kunci API atau token yang valid.",
    "This credential does not allow the request.": "Kredensial ini tidak mengizinkan permintaan tersebut.",
    "Requests from this address are not allowed.": "Permintaan dari alamat ini tidak diizinkan.",
    "This tenant is suspended.": "Organisasi ini sedang ditangguhkan.",
    "Requests from this web page are not allowed.": "Permintaan dari halaman web ini tidak diizinkan.",
    "This chat takes no visitors.": "Obrolan ini tidak menerima pengunjung.",
    "There is nothing at this address.": "Tidak ada apa pun di alamat ini.",
    "There is no such model.": "Tidak ada model seperti itu.",
    "There is no such session.": "Tidak ada sesi seperti itu.",
    "There is no such summary.": "Tidak ada ringkasan seperti itu.",
    "The tenant has chosen no model for summaries.": "Organisasi belum memilih model untuk ringkasan.",
    "There is nothing to sum up yet.": "Belum ada yang dapat diringkas.",
    "The session was changed while it was summed up.": "Sesi berubah saat sedang diringkas.",
    "The model made no summary.": "Model tidak membuat ringkasan.",
    "There is no such turn.": "Tidak ada giliran seperti itu.",
    "This session has no such version, or it is no longer kept.": (
        "Sesi ini tidak memiliki versi tersebut, atau versi itu sudah tidak disimpan."
    ),
    "There is no such snapshot.": "Tidak ada cuplikan seperti itu.",
    "There is a session of this id already.": "Sudah ada sesi dengan pengenal ini.",
    "There is no such API key.": "Tidak ada kunci API seperti itu.",
    "There is no such member.": "Tidak ada anggota seperti itu.",
    "There is no such invitation.": "Tidak ada undangan seperti itu.",
    "There is no such address.": "Tidak ada alamat seperti itu.",
    "There is no such allowance.": "Tidak ada jatah seperti itu.",
    "There is no such plugin.": "Tidak ada plugin seperti itu.",
    "There is no such tenant.": "Tidak ada organisasi seperti itu.",
    "This key is revoked.": "Kunci ini telah dicabut.",
    "This key has ended.": "Kunci ini telah kedaluwarsa.",
    "This key may do more than you may give.": "Kunci ini memiliki hak lebih dari yang boleh Anda berikan.",
    "Your role does not allow changing this member.": "Peran Anda tidak mengizinkan perubahan pada anggota ini.",
    "This invitation is not open any more.": "Undangan ini sudah tidak berlaku.",
    "It has been accepted: remove the member instead.": "Undangan telah diterima: hapus saja anggotanya.",
    "This model is switched off.": "Model ini dinonaktifkan.",
    "This model is not in service yet: try again in a second.": (
        "Model ini belum beroperasi: coba lagi sedetik kemudian."
    ),
    "This model is the platform's: its operators change it.": (
        "Model ini milik platform: hanya operatornya yang dapat mengubahnya."
    ),
    "Only an operator of the platform may do this.": "Hanya operator platform yang boleh melakukan ini.",
    "This tenant is being taken off the platform.": "Organisasi ini sedang dikeluarkan dari platform.",
    "This method is not allowed here.": "Metode ini tidak diizinkan di sini.",
    "The resource was changed meanwhile.": "Sumber daya telah diubah sementara itu.",
    "The turn was cancelled.": "Giliran dibatalkan.",
    "The caller's own deadline has passed.": "Batas waktu dari pemanggil telah lewat.",
    "Too many turns wait for this session.": "Terlalu banyak giliran menunggu sesi ini.",
    "The previous response was not found.": "Respons sebelumnya tidak ditemukan.",
    "This idempotency key was used with another request.": "Kunci idempotensi ini telah dipakai untuk permintaan lain.",
    "The first request with this idempotency key is still being answered.": (
        "Permintaan pertama dengan kunci idempotensi ini masih dilayani."
    ),
    "Too many requests.": "Terlalu banyak permintaan.",
    "The budget is used up.": "Anggaran telah habis.",
    "The model's service failed.": "Layanan model gagal.",
    "The model's service did not answer in time.": "Layanan model tidak menjawab tepat waktu.",
    "The model's service asks to wait.": "Layanan model meminta untuk menunggu.",
    "The service is not available right now.": "Layanan sedang tidak tersedia.",
    "The turn was cut off before its end.": "Giliran terputus sebelum selesai.",
    "The audit journal cannot record this request right now.": (
        "Jurnal audit sedang tidak dapat mencatat permintaan ini."
    ),
    "A store of the service cannot be reached right now.": "Penyimpanan layanan sedang tidak dapat dijangkau.",
    "The service is overloaded.": "Layanan kelebihan beban.",
    "A plugin that has to take part in this request did not do its work.": (
        "Plugin yang wajib ikut serta dalam permintaan ini tidak menjalankan tugasnya."
    ),
}
